//! Whatever may be on the feedback queue.

#![no_main]

use keynudge_testing::bodies::try_event;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &str| {
    let _refusal = try_event(body);
});
