//! Compiles the `.proto` files of `src/api/proto`: message types, and the descriptors that configuration is checked
//! against. No protoc is needed.

use std::io::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Error> {
    let root = Path::new("src/api/proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();
    let descriptors = protox::compile(&files, [root]).map_err(Error::other)?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    prost_build::Config::new()
        .file_descriptor_set_path(out.join("descriptors.bin"))
        .skip_protoc_run()
        .enable_type_names()
        .include_file("schema.rs")
        .compile_fds(descriptors.clone())?;
    std::fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
