//! The documents hold: the configuration reference, `docs/reference/`, is made of the schema and its comments and is up to
//! date; links lead somewhere; configurations that are shown are right; the systemd unit is well-formed.
//!
//! `UPDATE_REFERENCE=1 cargo test --test documents` writes it anew.

use nuncio::api::pool;
use prost_reflect::{Cardinality, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Comments by the path of what they stand before (`google.protobuf.SourceCodeInfo`).
type Comments = BTreeMap<Vec<i32>, String>;

/// Field numbers of descriptor.proto, of which such paths are made.
mod tag {
    pub(super) const MESSAGES: i32 = 4;
    pub(super) const ENUMS: i32 = 5;
    pub(super) const FIELDS: i32 = 2;
    pub(super) const NESTED_MESSAGES: i32 = 3;
    pub(super) const NESTED_ENUMS: i32 = 4;
    pub(super) const VALUES: i32 = 2;
}

/// The name of the page of a package: `config.route` for `envoy.config.route.v3`.
fn page(package: &str) -> String {
    package.trim_start_matches("envoy.").trim_start_matches("extensions.").trim_end_matches(".v3").to_owned()
}

/// A name without its package: `Cluster.LbPolicy`.
fn short<'a>(full: &'a str, package: &str) -> &'a str {
    full.strip_prefix(package).map_or(full, |name| name.trim_start_matches('.'))
}

/// A link to where a type is described.
fn link(full: &str, package: &str, from: &str) -> String {
    let name = short(full, package);
    let page = if package == from { String::new() } else { format!("{}.md", page(package)) };
    format!("[{name}]({page}#{})", name.to_lowercase().replace('.', ""))
}

/// What is written for a field in YAML.
fn kind(field: &FieldDescriptor, from: &str) -> String {
    let one = |kind: &Kind| match kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::String => "string".to_owned(),
        Kind::Bytes => "base64 string".to_owned(),
        Kind::Double | Kind::Float => "number".to_owned(),
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Any" => "extension".to_owned(),
            "google.protobuf.Struct" => "object".to_owned(),
            "google.protobuf.Value" => "any value".to_owned(),
            "google.protobuf.Duration" => "duration".to_owned(),
            "google.protobuf.Timestamp" => "time".to_owned(),
            "google.protobuf.BoolValue" => "true or false".to_owned(),
            "google.protobuf.StringValue" => "string".to_owned(),
            name if name.starts_with("google.protobuf.") => "number".to_owned(),
            name => link(name, message.parent_file().package_name(), from),
        },
        Kind::Enum(kind) => link(kind.full_name(), kind.parent_file().package_name(), from),
        _ => "number".to_owned(),
    };
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else { unreachable!("maps are made of entries") };
        return format!("map to {}", one(&entry.map_entry_value_field().kind()));
    }
    match field.cardinality() {
        Cardinality::Repeated => format!("list of {}", one(&field.kind())),
        _ => one(&field.kind()),
    }
}

struct Page {
    text: String,
    comments: Comments,
    package: String,
}

impl Page {
    fn comment(&self, path: &[i32]) -> &str {
        let comment = self.comments.get(path).map_or("", String::as_str);
        assert!(!comment.is_empty(), "no comment in {} at {path:?}", self.package);
        comment
    }

    fn message(&mut self, message: &MessageDescriptor, path: &[i32]) {
        let text = self.comment(path).to_owned();
        // Writing into memory does not fail.
        let _ = writeln!(self.text, "\n## {}\n\n{text}", short(message.full_name(), &self.package));
        if message.fields().len() > 0 {
            let _ = writeln!(self.text, "\n| field | value | |\n|---|---|---|");
        }
        // In the order of the file, which is that of the numbers, except that alternatives stand last.
        for (index, field) in message.parent_file_fields().into_iter().enumerate() {
            let comment = self.comment(&[path, &[tag::FIELDS, index as i32]].concat()).replace('|', "\\|");
            let of =
                field.containing_oneof().map_or(String::new(), |one| format!(" *One of `{}`.*", one.name()));
            let _ = writeln!(
                self.text,
                "| `{}` | {} | {comment}{of} |",
                field.name(),
                kind(&field, &self.package)
            );
        }
        for (index, child) in message.child_messages().enumerate() {
            if !child.is_map_entry() {
                self.message(&child, &[path, &[tag::NESTED_MESSAGES, index as i32]].concat());
            }
        }
        for (index, child) in message.child_enums().enumerate() {
            self.choice(&child, &[path, &[tag::NESTED_ENUMS, index as i32]].concat());
        }
    }

    fn choice(&mut self, choice: &EnumDescriptor, path: &[i32]) {
        // The comment of the whole is the same for most of them and says nothing to a reader.
        let _ = writeln!(self.text, "\n## {}\n", short(choice.full_name(), &self.package));
        for (index, value) in choice.values().enumerate() {
            let comment = self.comments.get(&[path, &[tag::VALUES, index as i32]].concat());
            let comment = comment.map_or(String::new(), |comment| format!(": {comment}"));
            let _ = writeln!(self.text, "- `{}`{comment}", value.name());
        }
    }
}

/// Fields in the order of the file: paths of comments count in it.
trait InFileOrder {
    fn parent_file_fields(&self) -> Vec<FieldDescriptor>;
}

impl InFileOrder for MessageDescriptor {
    fn parent_file_fields(&self) -> Vec<FieldDescriptor> {
        let proto = self.descriptor_proto();
        proto.field.iter().map(|field| self.get_field_by_name(field.name()).expect("its own field")).collect()
    }
}

fn comments(file: &FileDescriptor) -> Comments {
    let info = file.file_descriptor_proto().source_code_info.clone().unwrap_or_default();
    let comment = |location: &prost_types::source_code_info::Location| {
        let text = location.leading_comments.as_deref()?;
        Some((location.path.clone(), text.split_whitespace().collect::<Vec<_>>().join(" ")))
    };
    info.location.iter().filter_map(comment).collect()
}

/// All pages by name.
fn pages() -> BTreeMap<String, String> {
    let mut packages: BTreeMap<String, Vec<FileDescriptor>> = BTreeMap::new();
    for file in pool().files().filter(|file| !file.package_name().starts_with("google.")) {
        packages.entry(file.package_name().to_owned()).or_default().push(file);
    }
    let mut pages = BTreeMap::new();
    let mut index = String::from(INDEX);
    for (package, mut files) in packages {
        files.sort_by(|a, b| a.name().cmp(b.name()));
        let mut page = Page {
            text: format!("# {package}\n\n{MADE}\n"),
            comments: Comments::new(),
            package: package.clone(),
        };
        let mut names = Vec::new();
        for file in files {
            page.comments = comments(&file);
            for (index, message) in file.messages().enumerate() {
                page.message(&message, &[tag::MESSAGES, index as i32]);
                names.push(link(message.full_name(), &package, ""));
            }
            for (index, choice) in file.enums().enumerate() {
                page.choice(&choice, &[tag::ENUMS, index as i32]);
                names.push(link(choice.full_name(), &package, ""));
            }
        }
        let name = self::page(&package);
        let _ = writeln!(index, "| [{package}]({name}.md) | {} |", names.join(", "));
        pages.insert(format!("{name}.md"), page.text);
    }
    pages.insert("README.md".to_owned(), index);
    pages
}

const MADE: &str = "<!-- Made of the .proto files by tests/documents.rs. -->";

const INDEX: &str = "\
<!-- Made of the .proto files by tests/documents.rs: UPDATE_REFERENCE=1 cargo test --test documents -->
# Configuration reference

A configuration is a [Bootstrap](config.bootstrap.md#bootstrap), in YAML or JSON. Messages, fields and their meaning are
Envoy's v3 API; every field that is listed works, every other one is refused with its place in the file.

How values are written:

| value | in YAML |
|---|---|
| duration | seconds with `s`: `15s`, `0.25s` |
| number | a number; large ones may be text |
| extension | an object whose `\"@type\"` is `type.googleapis.com/` and the name of a message: `\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router` |
| base64 string | bytes in base64 |
| *one of* | at most one field of such a group may be set |

Names of fields may be written as `stat_prefix` or `statPrefix`. Which extension may stand where is said where one that is
not known is refused.

| package | messages |
|---|---|
";

#[test]
fn the_reference_is_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference");
    let pages = pages();
    assert!(pages["config.bootstrap.md"].contains("## Bootstrap\n"));
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::create_dir_all(&folder).expect("a folder");
        for entry in std::fs::read_dir(&folder).expect("the reference").flatten() {
            if !pages.contains_key(&*entry.file_name().to_string_lossy()) {
                std::fs::remove_file(entry.path()).expect("an old page");
            }
        }
        for (name, text) in &pages {
            std::fs::write(folder.join(name), text).expect("a page");
        }
        return;
    }
    let how = "UPDATE_REFERENCE=1 cargo test --test documents";
    for (name, text) in &pages {
        let found = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(found == *text, "docs/reference/{name} is not what the schema says; {how}");
    }
    for entry in std::fs::read_dir(&folder).expect("the reference") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        assert!(pages.contains_key(&name), "docs/reference/{name} describes nothing; {how}");
    }
}

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files =
        vec![root.join("README.md"), root.join("CONTRIBUTING.md"), root.join("examples/README.md")];
    for folder in ["docs", "docs/reference"] {
        let entries = std::fs::read_dir(root.join(folder)).expect("documents");
        files.extend(entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()));
    }
    files
}

#[test]
fn configurations_in_the_documents_are_right() {
    let (mut whole, mut wrong) = (0, Vec::new());
    for file in documents() {
        let text = std::fs::read_to_string(&file).expect("text");
        for block in text.split("```yaml\n").skip(1) {
            let yaml = block.split("```").next().expect("there is a first part");
            // A part of a configuration is one too, if it stands at the top.
            let output = Command::new(env!("CARGO_BIN_EXE_nuncio"))
                .args(["--mode", "validate", "--config-yaml", yaml])
                .output()
                .expect("the binary runs");
            whole += usize::from(yaml.contains("static_resources:"));
            if !output.status.success() {
                wrong.push(format!("{}:\n{}", file.display(), String::from_utf8_lossy(&output.stderr)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(whole >= 2, "only {whole} configurations were found");
}

#[test]
fn the_systemd_unit_is_well_formed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let unit = std::fs::read_to_string(root.join("examples/systemd/nuncio.service")).expect("the unit");
    let folder = std::env::temp_dir().join(format!("nuncio-unit-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("nuncio.service");
    // The program must be there for the check.
    std::fs::write(&path, unit.replace("/usr/local/bin/nuncio", env!("CARGO_BIN_EXE_nuncio")))
        .expect("a file");
    let output = Command::new("systemd-analyze").arg("verify").arg(&path).output();
    let _ = std::fs::remove_dir_all(&folder);
    let Ok(output) = output else {
        eprintln!("skipped: systemd-analyze is not installed");
        return;
    };
    let complaints = String::from_utf8_lossy(&output.stderr);
    let complaints: Vec<_> = complaints.lines().filter(|line| line.contains("nuncio.service")).collect();
    assert!(output.status.success() && complaints.is_empty(), "{complaints:?}");
}

#[test]
fn links_of_the_documents_lead_somewhere() {
    let files = documents();
    let target = regex::Regex::new(r"\]\(([^)\s]+)\)").expect("valid");
    let mut broken = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("text");
        for found in target.captures_iter(&text) {
            let (path, anchor) = found[1].split_once('#').unwrap_or((&found[1], ""));
            if path.contains("://") || path.starts_with("mailto:") {
                continue;
            }
            let at = if path.is_empty() { file.clone() } else { file.parent().expect("a folder").join(path) };
            let heading = |text: String| {
                text.lines().filter(|line| line.starts_with('#')).any(|line| {
                    let title = line.trim_start_matches('#').trim().to_lowercase();
                    let title: String =
                        title.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c)).collect();
                    title.replace(' ', "-") == anchor
                })
            };
            let there = at.exists() && (anchor.is_empty() || std::fs::read_to_string(&at).is_ok_and(heading));
            if !there {
                broken.push(format!("{}: {}", file.display(), &found[1]));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
