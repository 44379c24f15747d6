//! The tests are in `tests/`, and what crashes in `src/bin/`.
