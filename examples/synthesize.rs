//! Writes the hand-made captures, their truth files and their table: always the same bytes.
//!
//! `cargo run --example synthesize -- testdata/synthetic`

#![allow(missing_docs, clippy::print_stdout, unreachable_pub)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).map_or_else(|| "testdata/synthetic".into(), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    let mut table = String::from(
        "# Hand-made captures\n\n\
        Made by `cargo run --example synthesize -- testdata/synthetic`, always the same bytes, from\n\
        `tests/support/scenes`. Each has a truth file of the same name. The same command makes \
        this table.\n\n\
        | capture | what happens | must be found |\n|---|---|---|\n",
    );
    for scene in support::scenes::all() {
        let (ending, file) = scene.build();
        println!("{:>7} {}.{ending}", file.len(), scene.name);
        std::fs::write(folder.join(format!("{}.{ending}", scene.name)), file)?;
        std::fs::write(folder.join(format!("{}.toml", scene.name)), scene.truth())?;
        let expects: Vec<String> = scene
            .expects
            .iter()
            .map(|expect| format!("`{}` {}", expect.detector, expect.variant).trim().to_owned())
            .collect();
        let expects = if expects.is_empty() { "nothing".to_owned() } else { expects.join(", ") };
        let _ = writeln!(table, "| `{}.{ending}` | {} | {expects} |", scene.name, scene.story);
    }
    std::fs::write(folder.join("README.md"), table)
}
