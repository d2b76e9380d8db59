//! Pages that show people what Keynudge found: what the scan's report and the demo's page have in common.

pub mod ages;
