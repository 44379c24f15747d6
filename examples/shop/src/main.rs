//! A small shop that is built on events: `cargo run -p shop`, then open the printed address.
//!
//! - `SHOP_PORT`: the port, 3000 by default; 0 takes any free port.
//! - `SHOP_DB`: the database file, by default in the folder for temporary files. Remove it to start from scratch.
//! - `SHOP_REDIS`: a server such as `redis://127.0.0.1`. Connects all instances with the same server and `SHOP_DB`.

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
        // If Ctrl-C can't be handled, the shop runs until it is killed.
        if ctrl_c().await.is_err() {
            std::future::pending().await
        }
    });
    let closed = async {
        ctrl_c().await?;
        shop.close().await
    };
    // The streams of browsers end when the bus stops, and the server waits for them.
    let ((), closed) = tokio::join!(server, closed);
    closed?;
    jobs.await?
}
