//! Finding the route of a request in small and large configurations.

use divan::{Bencher, black_box};
use nuncio::api::envoy::config::route::v3::route::Action;
use nuncio::api::envoy::config::route::v3::route_match::PathSpecifier;
use nuncio::api::envoy::config::route::v3::{
    DirectResponseAction, Route, RouteConfiguration, RouteMatch, VirtualHost,
};
use nuncio::config::{Cx, Diagnostics};
use nuncio::router::{compile, config::RouteConfig, table::Found};
use nuncio::stats::Registry;
use nuncio_codec::{HeaderMap, Method, RequestHead, Version};

fn main() {
    divan::main();
}

fn route(path: PathSpecifier) -> Route {
    Route {
        r#match: Some(RouteMatch { path_specifier: Some(path), ..RouteMatch::default() }),
        action: Some(Action::DirectResponse(DirectResponseAction { status: 200, ..Default::default() })),
        ..Route::default()
    }
}

fn host(domain: String, routes: Vec<Route>) -> VirtualHost {
    VirtualHost { name: domain.clone(), domains: vec![domain], routes, ..VirtualHost::default() }
}

fn compiled(virtual_hosts: Vec<VirtualHost>) -> RouteConfig {
    let (mut diagnostics, mut registry) = (Diagnostics::default(), Registry::new());
    let config = RouteConfiguration { virtual_hosts, ..RouteConfiguration::default() };
    let compiled = compile::route_config(&config, &mut Cx::new(&mut diagnostics, &mut registry));
    assert!(diagnostics.is_empty(), "{diagnostics}");
    compiled.expect("it had no errors")
}

fn request(authority: &str, path: &str) -> RequestHead {
    let mut headers = HeaderMap::new();
    for (name, value) in [(":method", "GET"), (":path", path), (":authority", authority), ("accept", "*/*")] {
        headers.append(name.as_bytes(), value.as_bytes());
    }
    RequestHead { version: Version::Http11, method: Method::of(b"GET"), headers }
}

fn find(bencher: Bencher<'_, '_>, config: &RouteConfig, request: &RequestHead) {
    assert!(matches!(config.find(request), Found::Route(_)), "there is a route");
    bencher.bench_local(|| black_box(config).find(black_box(request)));
}

/// One virtual host for all domains, one route for all paths.
#[divan::bench]
fn catch_all(bencher: Bencher<'_, '_>) {
    let config = compiled(vec![host("*".into(), vec![route(PathSpecifier::Prefix("/".into()))])]);
    find(bencher, &config, &request("www.example.com", "/index.html"));
}

/// The last of so many virtual hosts.
#[divan::bench(args = [10, 1_000])]
fn exact_domain(bencher: Bencher<'_, '_>, hosts: usize) {
    let all = (0..hosts)
        .map(|n| host(format!("www{n}.example.com"), vec![route(PathSpecifier::Prefix("/".into()))]));
    let config = compiled(all.collect());
    find(bencher, &config, &request(&format!("www{}.example.com", hosts - 1), "/index.html"));
}

#[divan::bench(args = [10, 1_000])]
fn wildcard_domain(bencher: Bencher<'_, '_>, hosts: usize) {
    let all = (0..hosts)
        .map(|n| host(format!("*.zone{n}.example.com"), vec![route(PathSpecifier::Prefix("/".into()))]));
    let config = compiled(all.collect());
    find(bencher, &config, &request(&format!("www.zone{}.example.com", hosts - 1), "/index.html"));
}

/// The last of so many routes of one virtual host.
#[divan::bench(args = [10, 100, 1_000])]
fn last_prefix(bencher: Bencher<'_, '_>, routes: usize) {
    let all = (0..routes).map(|n| route(PathSpecifier::Prefix(format!("/service/{n}/"))));
    let config = compiled(vec![host("*".into(), all.collect())]);
    find(bencher, &config, &request("www.example.com", &format!("/service/{}/item", routes - 1)));
}
