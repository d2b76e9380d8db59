//! Whatever may be on the accounts queue.

#![no_main]

use keynudge_core::messages::ScanAccount;
use keynudge_testing::bodies::try_message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &str| {
    let _refusal = try_message::<ScanAccount>(body);
});
