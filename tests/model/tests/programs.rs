//! CI runs a slice; see the crate's docs for longer runs and for replaying one program.

#[test]
fn random_programs_keep_the_laws() {
    match bus_model::check() {
        Ok(done) => println!("{done}"),
        Err(broken) => panic!("{broken}"),
    }
}
