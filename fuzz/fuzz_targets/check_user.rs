//! Whatever may be on the users queue.

#![no_main]

use keynudge_core::messages::CheckUser;
use keynudge_testing::bodies::try_message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &str| {
    let _refusal = try_message::<CheckUser>(body);
});
