//! What `#[derive(Schema)]` takes, with `event` in scope.

#[allow(unused_imports)]
use typed_events::{Schema, event};

pub struct Foreign;

#[derive(Schema)]
pub struct Address<T> {
    pub city: String,
    pub more: Vec<T>,
    #[schema(opaque)]
    pub place: Foreign,
}

#[derive(Schema)]
pub enum Tree {
    Leaf,
    Node(Box<Tree>, Box<Tree>),
}

#[derive(Schema)]
pub enum Never {}

#[derive(Schema)]
pub struct Id(pub u64);

fn main() {
    let tree = Tree::Node(Box::new(Tree::Leaf), Box::new(Tree::Leaf));
    assert!(tree.heap_size() > 0);
}
