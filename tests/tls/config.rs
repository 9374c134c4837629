//! Configurations with TLS.

use super::certs::Pem;
use super::support::{self, Folder};
use std::net::SocketAddr;

/// A listener with TLS.
#[derive(Default)]
pub struct Listener {
    /// Files of certificates and keys.
    pub certificates: Vec<(String, String)>,
    /// More of `common_tls_context`, as YAML in one line each.
    pub common: Vec<String>,
    /// More of `DownstreamTlsContext`.
    pub context: Vec<String>,
    /// More of the filter chain.
    pub chain: Vec<String>,
    /// More of the connection manager.
    pub hcm: Vec<String>,
    /// Clusters: name, address, more in one line each.
    pub clusters: Vec<(String, SocketAddr, Vec<String>)>,
}

impl Listener {
    pub fn new(pems: &[&Pem], folder: &Folder) -> Self {
        let certificates = pems
            .iter()
            .enumerate()
            .map(|(at, pem)| {
                let certificate = folder.file(&format!("cert{at}.pem"), &pem.certificate);
                let key = folder.file(&format!("key{at}.pem"), &pem.key);
                (certificate.display().to_string(), key.display().to_string())
            })
            .collect();
        Self { certificates, ..Self::default() }
    }

    pub fn common(mut self, line: impl Into<String>) -> Self {
        self.common.push(line.into());
        self
    }

    pub fn context(mut self, line: impl Into<String>) -> Self {
        self.context.push(line.into());
        self
    }

    pub fn chain(mut self, line: impl Into<String>) -> Self {
        self.chain.push(line.into());
        self
    }

    pub fn hcm(mut self, line: impl Into<String>) -> Self {
        self.hcm.push(line.into());
        self
    }

    pub fn cluster(mut self, name: &str, address: SocketAddr, more: &[&str]) -> Self {
        let more = more.iter().map(|line| (*line).to_owned()).collect();
        self.clusters.push((name.to_owned(), address, more));
        self
    }

    pub fn yaml(&self) -> String {
        let lines = |lines: &[String], indent: usize| -> String {
            lines.iter().map(|line| format!("{:indent$}{line}\n", "")).collect()
        };
        let direct =
            "- {match: {prefix: \"/\"}, direct_response: {status: 200, body: {inline_string: \"hello\"}}}";
        let routes = vec![if self.clusters.is_empty() {
            direct.to_owned()
        } else {
            "- {match: {prefix: \"/\"}, route: {cluster: up, timeout: 0s}}".to_owned()
        }];
        let certificates: Vec<_> = self
            .certificates
            .iter()
            .map(|(certificate, key)| {
                format!(
                    "- {{certificate_chain: {{filename: {certificate}}}, private_key: {{filename: {key}}}}}"
                )
            })
            .collect();
        let tls = if self.certificates.is_empty() {
            String::new()
        } else {
            format!(
                r#"      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
{}          common_tls_context:
{}            tls_certificates:
{}"#,
                lines(&self.context, 10),
                lines(&self.common, 12),
                lines(&certificates, 12),
            )
        };
        let clusters: String = self
            .clusters
            .iter()
            .map(|(name, address, more)| {
                format!(
                    "  - name: {name}\n    type: STATIC\n    load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{{endpoint: {{hostname: host.test, address: {{socket_address: {{address: {}, port_value: {}}}}}}}}}]}}]}}\n{}",
                    address.ip(),
                    address.port(),
                    lines(more, 4),
                )
            })
            .collect();
        format!(
            r#"
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}
static_resources:
  listeners:
  - name: main
    stat_prefix: main
    address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: test
{}          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
{}          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
{tls}{}  clusters:
{clusters}"#,
            lines(&self.hcm, 10),
            lines(&routes, 14),
            lines(&self.chain, 6),
        )
    }
}

/// A cluster's `transport_socket`, with these lines of `UpstreamTlsContext`.
pub fn upstream_tls(lines: &str) -> String {
    format!(
        r#"transport_socket: {{name: tls, typed_config: {{"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, {lines}}}}}"#
    )
}

/// A filter chain's `transport_socket`; `common` is more of `common_tls_context`.
pub fn server_tls(pem: &Pem, folder: &Folder, common: &str) -> String {
    let (certificate, key) = (folder.file("s.pem", &pem.certificate), folder.file("s.key", &pem.key));
    format!(
        "transport_socket: {{name: tls, typed_config: {{\"@type\": \
         type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: \
         {{{common} tls_certificates: [{{certificate_chain: {{filename: {}}}, private_key: {{filename: {}}}}}]}}}}}}",
        certificate.display(),
        key.display()
    )
}

/// A listener whose connections go to one host as they are, with more of each part.
#[derive(Copy, Clone, Default)]
pub struct Tunnel<'a> {
    /// One line of the filter chain.
    pub chain: &'a str,
    /// Filters before the proxy.
    pub filters: &'a str,
    /// Of `TcpProxy`.
    pub proxy: &'a str,
    /// One line of the cluster.
    pub cluster: &'a str,
}

impl Tunnel<'_> {
    pub fn yaml(&self, host: SocketAddr) -> String {
        let Self { chain, filters, proxy, cluster } = self;
        let mut yaml = support::tcp(host);
        for (mark, more) in [
            ("  - name: main\n", "    stat_prefix: main\n".to_owned()),
            ("    - filters:\n", (*filters).to_owned()),
            ("          cluster: up\n", (*proxy).to_owned()),
        ] {
            assert_eq!(yaml.matches(mark).count(), 1, "{yaml}");
            yaml = yaml.replace(mark, &format!("{mark}{more}"));
        }
        if !chain.is_empty() {
            yaml = yaml.replace("  clusters:\n", &format!("      {chain}\n  clusters:\n"));
        }
        if cluster.is_empty() { yaml } else { format!("{yaml}    {cluster}\n") }
    }
}
