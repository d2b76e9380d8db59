//! Whatever may be on the findings queue.

#![no_main]

use keynudge_core::messages::StaleKeys;
use keynudge_testing::bodies::try_message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &str| {
    let _refusal = try_message::<StaleKeys>(body);
});
