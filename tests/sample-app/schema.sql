CREATE TABLE IF NOT EXISTS purchase (
    id text PRIMARY KEY,
    title text NOT NULL
);
