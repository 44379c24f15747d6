CREATE TABLE IF NOT EXISTS products (
    sku TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    price_cents INTEGER NOT NULL,
    stock INTEGER NOT NULL CHECK (stock >= 0)
);
CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY,
    user TEXT NOT NULL,
    sku TEXT NOT NULL REFERENCES products,
    quantity INTEGER NOT NULL,
    total_cents INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('placed', 'refused', 'reserved', 'paid'))
);
CREATE TABLE IF NOT EXISTS videos (id TEXT PRIMARY KEY, user TEXT NOT NULL, title TEXT NOT NULL, status TEXT NOT NULL);

-- Rows written by handlers have the event's id as key, so a second delivery writes no second row.
CREATE TABLE IF NOT EXISTS notifications (event TEXT PRIMARY KEY, user TEXT NOT NULL, message TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS audit (id TEXT PRIMARY KEY, at TEXT NOT NULL, event TEXT NOT NULL, data TEXT NOT NULL);

INSERT OR IGNORE INTO products VALUES
    ('mug', 'Enamel mug', 1800, 24),
    ('tee', 'Plain tee', 2900, 40),
    ('book', 'The Rust Book, signed', 4500, 6),
    ('tote', 'Canvas tote', 1500, 60);
