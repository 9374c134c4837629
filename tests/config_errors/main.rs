//! Wrong configurations: each must be refused with the path of the field, the place in the text and words that say
//! what to do. The table is in `rows`; here are also mistakes in several texts, and what the program shows of all
//! this.

mod listener_rows;
mod network_rows;
mod proxy_rows;
mod rows;
mod stats_rows;
mod udp_rows;
mod value_rows;

use nuncio::config::{Diagnostics, Source};
use nuncio::server::compile::load;
use rows::{BASE, HCM, ROUTES, ROWS, Row};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The base document with a row's edits, and the marked place as line and column.
fn text(row: &Row) -> (String, (usize, usize)) {
    let mut text = BASE.to_owned();
    for (from, to) in row.edits {
        assert_eq!(text.matches(from).count(), 1, "{}: {from:?} must occur once", row.name);
        text = text.replacen(from, to, 1);
    }
    marked(&text)
}

/// The text without the mark, and the mark's place.
fn marked(text: &str) -> (String, (usize, usize)) {
    let at = text.find('»').unwrap_or_else(|| panic!("no mark in {text}"));
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let place = (text[..at].matches('\n').count() + 1, text[line_start..at].chars().count() + 1);
    (text.replacen('»', "", 1), place)
}

fn refused(source: &Source) -> Diagnostics {
    match load(source) {
        Ok(_) => panic!("accepted: {source:?}"),
        Err(diagnostics) => diagnostics,
    }
}

/// Path, line and column of everything that is wrong, with the start of the message.
fn summary(diagnostics: &Diagnostics) -> Vec<(&str, usize, usize, String)> {
    let words = |text: &str| text.split(' ').take(4).collect::<Vec<_>>().join(" ");
    let errors = diagnostics.errors().iter();
    errors.map(|error| (&error.path[..], error.place.1, error.place.2, words(&error.message))).collect()
}

/// A file in the tests' own folder.
fn file(name: &str, content: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content).expect("the folder can be written");
    path
}

fn nuncio(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nuncio")).args(arguments).output().expect("it can be run")
}

#[test]
fn the_base_document_is_right() {
    if let Err(diagnostics) = load(&Source::text(BASE)) {
        panic!("{diagnostics}");
    }
}

#[test]
fn wrong_configurations_are_refused_with_path_place_and_reason() {
    let mut failures = String::new();
    for row in ROWS
        .iter()
        .chain(stats_rows::ROWS)
        .chain(proxy_rows::ROWS)
        .chain(listener_rows::ROWS)
        .chain(network_rows::ROWS)
        .chain(value_rows::ROWS)
    {
        let (text, (line, column)) = text(row);
        let diagnostics = match load(&Source::text(&text)) {
            Ok(_) => {
                failures += &format!("--- {}: accepted\n", row.name);
                continue;
            }
            Err(diagnostics) => diagnostics,
        };
        let path = format!("{}{}", row.path.0, row.path.1);
        let place = ("--config-yaml".to_owned(), line, column);
        // One mistake is one error: none follows from it.
        let right = diagnostics.errors().len() == 1
            && diagnostics.errors().iter().all(|error| {
                error.path == path
                    && error.place == place
                    && row.says.iter().all(|part| error.message.contains(part))
            });
        if !right {
            failures += &format!(
                "--- {}: expected {path} at {line}:{column} saying {:?}, got\n{diagnostics}\n",
                row.name, row.says
            );
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn everything_that_is_wrong_is_reported() {
    let text = BASE
        .replace("port_value: 8080", "port_value: 808080")
        .replace("stat_prefix: front", "stat_prefix: front\n          tracing: {}")
        .replace("{cluster: app, timeout: 3s}", "{cluster: nowhere, timeout: 3}")
        .replace("status: 404", "status: 4040")
        .replace("lb_policy: LEAST_REQUEST", "lb_policy: CLUSTER_PROVIDED");
    assert_eq!(
        summary(&refused(&Source::text(&text))),
        [
            (&format!("{HCM}.tracing")[..], 15, 11, "Envoy's field `tracing` of".to_owned()),
            (&format!("{ROUTES}[0].routes[0].route.timeout"), 24, 52, "expected a duration in".to_owned()),
            ("static_resources.clusters[0].lb_policy", 50, 16, "`CLUSTER_PROVIDED` is not a".to_owned()),
            (
                "static_resources.listeners[0].address.socket_address.port_value",
                8,
                56,
                "808080 is not a".to_owned()
            ),
            (&format!("{ROUTES}[0].routes[0].route.cluster"), 24, 34, "there is no cluster".to_owned()),
            (&format!("{ROUTES}[1].routes[1].direct_response.status"), 37, 43, "4040 is not a".to_owned()),
        ]
    );
}

#[test]
fn names_of_broken_clusters_are_no_further_errors() {
    for (from, to) in [
        ("  - name: old\n", "  - name: [old]\n"),
        ("  - name: old\n", "  - nam: old\n"),
        ("      cluster_name: old\n", "      cluster_name: 1\n"),
        ("  clusters:\n  - name: app\n", "  cluster:\n  - name: app\n"),
    ] {
        let diagnostics = refused(&Source::text(&BASE.replacen(from, to, 1)));
        assert_eq!(diagnostics.errors().len(), 1, "{to}\n{diagnostics}");
    }
}

#[test]
fn json_on_one_line_has_places_too() {
    let (text, (line, column)) = marked(
        r#"{"admin": {"address": {"socketAddress": {"address": "127.0.0.1", "portValue": 0}}}, "staticResources": {"clusters": [{"name": "a", "loadAssignment": {"clusterName": "a", "endpoints": [{"lbEndpoints": [{"endpoint": {"address": {"socketAddress": {"address": "127.0.0.1", "portValue": »65536}}}}]}]}}]}}"#,
    );
    let diagnostics = refused(&Source::text(&text));
    let path = "static_resources.clusters[0].load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value";
    assert_eq!(summary(&diagnostics), [(path, line, column, "65536 is not a".to_owned())]);
    // Only what is around the place is shown, and the caret stands below it.
    let shown = diagnostics.to_string();
    let lines: Vec<_> = shown.lines().collect();
    let (snippet, caret) = (lines[3], lines[4]);
    assert!(snippet.len() < 140, "{shown}");
    assert!(snippet[caret.find('^').expect("there is one")..].starts_with("65536"), "{shown}");
}

#[test]
fn yaml_over_a_file_has_the_places_of_both() {
    let path = file("over.yaml", &BASE.replace("port_value: 8080", "port_value: 80800"));
    let yaml =
        "static_resources:\n  clusters:\n  - {name: third, connect_timeout: 0s, load_assignment: {}}\n";
    let source = Source { path: Some(path.clone()), yaml: Some(yaml.to_owned()), embedded: None };
    let diagnostics = refused(&source);
    let file = path.display().to_string();
    let places: Vec<_> =
        diagnostics.errors().iter().map(|error| (&error.path[..], error.place.clone())).collect();
    assert_eq!(
        places,
        [
            // The clusters of the second text come after those of the first.
            ("static_resources.clusters[2].connect_timeout", ("--config-yaml".to_owned(), 3, 36)),
            ("static_resources.clusters[2].load_assignment", ("--config-yaml".to_owned(), 3, 57)),
            ("static_resources.listeners[0].address.socket_address.port_value", (file, 8, 56)),
        ]
    );
}

#[test]
fn a_text_that_cannot_be_parsed_makes_nothing_else_wrong() {
    let path = file("half.yaml", &BASE[..BASE.find("  clusters:").expect("it has some")]);
    let source =
        Source { path: Some(path), yaml: Some("static_resources: {clusters: [".to_owned()), embedded: None };
    assert_eq!(refused(&source).errors().len(), 1);
}

#[test]
fn texts_that_are_no_document_are_refused_in_our_own_words() {
    for (text, says) in [
        ("node: {id: a}\n---\nnode: {id: b}\n", "more than one YAML document"),
        ("node: &n {metadata: *n}\n", "an alias inside of what it stands for"),
    ] {
        let diagnostics = refused(&Source::text(text));
        assert_eq!(diagnostics.errors().len(), 1);
        assert!(diagnostics.errors()[0].message.contains(says), "{diagnostics}");
        assert!(diagnostics.errors()[0].place.1 > 0, "{diagnostics}");
    }
    let path = file("text.pb_text", "node { id: \"a\" }\n");
    let diagnostics = refused(&Source { path: Some(path), ..Source::default() });
    assert!(diagnostics.errors()[0].message.contains("YAML and JSON are"), "{diagnostics}");
}

#[test]
fn what_is_shown_has_no_control_characters() {
    let shown = refused(&Source::text("node: {\"\\e[31m\": a, id: [a]}\n")).to_string();
    assert!(shown.chars().all(|character| character == '\n' || !character.is_control()), "{shown:?}");
    assert!(shown.contains("\\u{1b}[31m"), "{shown}");
}

#[test]
fn nothing_is_not_a_configuration() {
    for (name, text) in
        [("empty.yaml", ""), ("comments.yaml", "# nothing\n\n  # at all\n"), ("null.yaml", "---\n")]
    {
        let path = file(name, text);
        let yaml = Some(BASE.to_owned());
        for source in [
            Source { path: Some(path.clone()), ..Source::default() },
            Source { path: Some(path.clone()), yaml, ..Source::default() },
            Source::text(text),
        ] {
            let diagnostics = refused(&source);
            assert_eq!(summary(&diagnostics), [("", 0, 0, "the configuration is empty".to_owned())]);
        }
    }
}

#[test]
fn the_program_shows_the_place_and_fails() {
    let path = file("wrong.yaml", &BASE.replace("stat_prefix: front", "stat_perfix: front"));
    let path = path.to_str().expect("UTF-8");
    for arguments in [&["-c", path][..], &["--config-path", path, "--mode", "validate"]] {
        let output = nuncio(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(output.stdout, b"");
        let error = String::from_utf8(output.stderr).expect("UTF-8");
        let shown = format!(
            "  --> {path}:14:11\n   |\n14 |           stat_perfix: front\n   |           ^\n  = field: {HCM}.stat_perfix\n"
        );
        assert!(error.contains(&shown), "{error}");
        assert!(error.contains("Did you mean `stat_prefix`?"), "{error}");
        assert!(error.ends_with("configuration rejected: 1 error\n"), "{error}");
    }
}

#[test]
fn the_program_says_what_it_cannot_read() {
    let missing = Path::new(env!("CARGO_TARGET_TMPDIR")).join("there-is-no-such-file.yaml");
    let missing = missing.to_str().expect("UTF-8");
    let latin1 = Path::new(env!("CARGO_TARGET_TMPDIR")).join("latin1.yaml");
    std::fs::write(&latin1, b"node: {id: caf\xe9}\n").expect("the folder can be written");
    let latin1 = latin1.to_str().expect("UTF-8");
    for (path, reason) in
        [(missing, "No such file"), (env!("CARGO_TARGET_TMPDIR"), "directory"), (latin1, "UTF-8")]
    {
        let output = nuncio(&["-c", path, "--mode", "validate"]);
        let error = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(
            error.starts_with(&format!("error: cannot read {path}: ")) && error.contains(reason),
            "{error}"
        );
    }
}

#[test]
fn the_program_validates() {
    let path = file("right.yaml", BASE);
    let path = path.to_str().expect("UTF-8");
    let output = nuncio(&["-c", path, "--mode", "validate"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("configuration '{path}' OK\n"));
    assert_eq!(output.stderr, b"");
}

#[test]
fn the_program_refuses_flags() {
    for (arguments, says) in [
        (&["--nonsense"][..], "--nonsense"),
        (&["--mode", "perhaps"], "possible values: serve, validate"),
        (&["-c"], "a value is required"),
        (&["--concurrency", "many"], "--concurrency"),
        (&["-l", "loud"], "trace, debug, info, warning, error, critical, off"),
        (&["stray"], "stray"),
    ] {
        let output = nuncio(arguments);
        let error = String::from_utf8(output.stderr).expect("UTF-8");
        // Not 1 as in Envoy, so that a script can tell it from a wrong configuration.
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(says) && error.contains("--help"), "{error}");
    }
    for flag in ["--help", "--version"] {
        let output = nuncio(&[flag]);
        assert!(
            output.status.success() && output.stderr.is_empty() && !output.stdout.is_empty(),
            "{output:?}"
        );
    }
}
