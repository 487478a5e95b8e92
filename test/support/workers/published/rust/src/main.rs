//! A worker of the published Rust SDK: a function, a trigger that stores its payloads, and `ready`.
#![allow(deprecated)]

use std::{env, time::Duration};

use iii_sdk::protocol::{RegisterTriggerInput, TriggerRequest};
use iii_sdk::{register_worker, Error, InitOptions, RegisterFunction};
use serde_json::{json, Value};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let url = env::args().nth(1).expect("usage: published-worker URL");
    let iii = register_worker(&url, InitOptions::default());

    iii.register_function(
        "published::shout",
        RegisterFunction::new_async(|input: Value| async move {
            let text = input["text"].as_str().unwrap_or_default().to_uppercase();
            Ok::<_, Error>(json!({ "text": text }))
        }),
    );
    let caller = iii.clone();
    iii.register_function(
        "published::on-change",
        RegisterFunction::new_async(move |event: Value| {
            let caller = caller.clone();
            async move {
                let item = json!({
                    "stream_name": "seen",
                    "group_id": event["groupId"],
                    "item_id": event["id"],
                    "data": event["event"],
                });
                caller.trigger(TriggerRequest::new("stream::set", item)).await
            }
        }),
    );
    let on_chat = json!({ "stream_name": "chat" });
    iii.register_trigger(RegisterTriggerInput::new("stream", "published::on-change", on_chat))?;
    // The service does not support this type; its refusal must not harm the worker.
    iii.register_trigger(RegisterTriggerInput::new("cron", "published::shout", json!({})))?;

    iii.trigger(TriggerRequest::new("stream::list_all", json!({}))).await?;
    let listed = iii.trigger(TriggerRequest::new("engine::functions::list", json!({}))).await?;
    println!("ready {listed}");
    loop {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
}
