//! A small shop in which everything happens by events: `cargo run -p shop`, and open the address it prints.
//!
//! - `SHOP_PORT`: 3000 unless set; 0 takes any that is free.
//! - `SHOP_DB`: the database; a file in the folder for temporary files unless set. Remove it to begin anew.
//! - `SHOP_REDIS`: `redis://127.0.0.1` joins the instances that have this server and the same `SHOP_DB`.

mod audit;
mod events;
mod failing;
mod guard;
mod inventory;
mod notifications;
mod orders;
mod serve;
mod shop;
mod videos;
mod web;

use std::env;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use tokio::net::TcpListener;
use tokio::signal::ctrl_c;

use crate::shop::{Failure, Shop};

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let port = env::var("SHOP_PORT").map_or(Ok(3000), |port| port.parse())?;
    let file =
        env::var_os("SHOP_DB").map_or_else(|| env::temp_dir().join("typed-events-shop.db"), PathBuf::from);
    let redis = env::var("SHOP_REDIS").ok();
    let shop = Shop::open(&file, redis.as_deref()).await?;

    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let listener = bound.map_err(|error| format!("port {port} can't be used, set SHOP_PORT: {error}"))?;
    println!("The shop is open: http://{}/ (its database is {})", listener.local_addr()?, file.display());

    let (jobs, db, outbox) = (shop.jobs.clone(), shop.db.clone(), shop.outbox.clone());
    let jobs = tokio::spawn(videos::work(jobs, db, outbox, ctrl_c()));
    let server = serve::serve(listener, web::app(shop.clone()), async {
        // Where that can't be listened for, the shop stays open until it is killed.
        if ctrl_c().await.is_err() {
            std::future::pending().await
        }
    });
    let closed = async {
        ctrl_c().await?;
        shop.close().await
    };
    // Browsers hang on until the bus has stopped.
    let ((), closed) = tokio::join!(server, closed);
    closed?;
    jobs.await?
}
