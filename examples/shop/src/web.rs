//! The page and its API.

use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::{from_fn, map_response};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use typed_events::EventId;
use typed_events::axum::{LastEventId, SseRefused};

use crate::events::SystemPoked;
use crate::guard::{self, Refused};
use crate::shop::{self, Shop, USERS, audience};
use crate::{orders, videos};

pub fn app(shop: Shop) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/events", get(events))
        .route("/api/state", get(state))
        .route("/api/orders", post(place))
        .route("/api/orders/{order}/pay", post(pay))
        .route("/api/videos", post(upload))
        .route("/api/break", post(poke))
        .route("/api/audit", get(audit))
        .route("/api/history", get(history))
        .with_state(shop)
        .layer(from_fn(guard::read_body))
        .layer(from_fn(guard::same_origin))
        .layer(map_response(guard::refuse_in_json))
}

/// The user of a request, taken from the query for demonstration.
struct User(&'static str);

impl<S: Send + Sync> FromRequestParts<S> for User {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let who = Query::<Who>::from_request_parts(parts, state).await;
        who.ok()
            .and_then(|Query(who)| shop::user(&who.user?))
            .map(Self)
            .ok_or_else(|| Refused::new(StatusCode::UNAUTHORIZED, "say who you are: ?user=ada"))
    }
}

#[derive(Deserialize)]
struct Who {
    user: Option<String>,
}

async fn page(Query(who): Query<Who>) -> Response {
    let Some(name) = who.user else { return Redirect::to("/?user=ada").into_response() };
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                  img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let headers = [(header::CONTENT_SECURITY_POLICY, policy)];
    if shop::user(&name).is_some() {
        return (headers, Html(include_str!("page.html"))).into_response();
    }
    let users = USERS.map(|user| format!("<li><a href=\"/?user={user}\">{user}</a></li>")).concat();
    let page = include_str!("nobody.html").replace("{users}", &users);
    (StatusCode::NOT_FOUND, headers, Html(page)).into_response()
}

async fn events(
    State(shop): State<Shop>,
    User(user): User,
    last: LastEventId,
) -> Result<Response, SseRefused> {
    shop.browsers.connect(user, last).await
}

#[derive(Serialize, sqlx::FromRow)]
struct Product {
    sku: String,
    name: String,
    price_cents: i64,
    stock: i64,
}

#[derive(Serialize, sqlx::FromRow)]
struct Order {
    id: String,
    sku: String,
    quantity: u32,
    total_cents: i64,
    status: String,
}

#[derive(Serialize, sqlx::FromRow)]
struct Video {
    id: String,
    title: String,
    status: String,
}

async fn state(State(shop): State<Shop>, User(user): User) -> Result<Json<Value>, Refused> {
    let products: Vec<Product> =
        sqlx::query_as("SELECT sku, name, price_cents, stock FROM products ORDER BY rowid")
            .fetch_all(&shop.db)
            .await?;
    let orders: Vec<Order> = sqlx::query_as(
        "SELECT id, sku, quantity, total_cents, status FROM orders WHERE user = ? ORDER BY rowid DESC LIMIT 20",
    )
    .bind(user)
    .fetch_all(&shop.db)
    .await?;
    let videos: Vec<Video> =
        sqlx::query_as("SELECT id, title, status FROM videos WHERE user = ? ORDER BY rowid DESC LIMIT 20")
            .bind(user)
            .fetch_all(&shop.db)
            .await?;
    Ok(Json(
        json!({ "user": user, "users": USERS, "products": products, "orders": orders, "videos": videos }),
    ))
}

#[derive(Deserialize)]
struct NewOrder {
    sku: String,
    quantity: u32,
}

async fn place(
    State(shop): State<Shop>,
    User(user): User,
    Json(order): Json<NewOrder>,
) -> Result<(StatusCode, Json<Value>), Refused> {
    let id = orders::place(&shop, user, &order.sku, order.quantity).await?;
    Ok((StatusCode::CREATED, Json(json!({ "id": id }))))
}

async fn pay(
    State(shop): State<Shop>,
    User(user): User,
    Path(order): Path<String>,
) -> Result<StatusCode, Refused> {
    orders::pay(&shop, user, &order).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct NewVideo {
    title: String,
}

async fn upload(
    State(shop): State<Shop>,
    User(user): User,
    Json(video): Json<NewVideo>,
) -> Result<(StatusCode, Json<Value>), Refused> {
    let id = videos::upload(&shop, user, &video.title).await?;
    Ok((StatusCode::CREATED, Json(json!({ "id": id }))))
}

async fn poke(State(shop): State<Shop>, User(by): User) -> Result<StatusCode, Refused> {
    let id = EventId::new();
    shop.outbox.emit(SystemPoked { poke: id.to_string(), by: by.to_owned() }).id(id).await?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Serialize, sqlx::FromRow)]
struct Row {
    at: String,
    event: String,
    data: String,
}

/// Returns the rows that the user may see: notifications are private.
async fn audit(State(shop): State<Shop>, User(user): User) -> Result<Json<Vec<Row>>, Refused> {
    let rows = sqlx::query_as(
        "SELECT at, event, data FROM audit WHERE event <> 'notification.created' OR data ->> 'user' = ?
         ORDER BY at DESC LIMIT 200",
    );
    Ok(Json(rows.bind(user).fetch_all(&shop.db).await?))
}

#[derive(Serialize)]
struct HistoryEvent {
    at: String,
    event: String,
    id: String,
    /// Byte for byte the JSON of the stream. The page recognises events it has shown by it.
    data: Box<RawValue>,
}

/// Returns the past events that the page shows before those of the stream.
async fn history(State(shop): State<Shop>, User(user): User) -> Result<Json<Vec<HistoryEvent>>, Refused> {
    let mut rows = Vec::new();
    let newest = shop.bus.history("*").limit(200).await?;
    for record in newest.iter().rev().filter(|record| audience(record).contains(&user)) {
        let data = RawValue::from_string(record.json()?.to_owned())?;
        let (at, id) = (record.timestamp().to_string(), record.id().to_string());
        rows.push(HistoryEvent { at, event: record.name().to_owned(), id, data });
    }
    Ok(Json(rows))
}
