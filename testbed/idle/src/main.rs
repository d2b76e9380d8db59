//! A function that takes whatever its queue hands it, and does nothing: what an emulator can do at most.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    // No record has failed.
    let done = async |_: LambdaEvent<Value>| Ok::<Value, Error>(json!({ "batchItemFailures": [] }));
    lambda_runtime::run(service_fn(done)).await
}
