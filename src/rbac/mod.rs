//! Role-based access control: policies over what is known of a connection, and what follows from them.
//!
//! Only the judgement; what is done with it is the filters' business.

pub mod compile;

use crate::filter_state::FilterState;
use crate::network::Cidr;
use crate::router::config::StringMatch;
use crate::tls::TlsInfo;
use nuncio_reactor::Address;

/// `envoy.config.rbac.v3.RBAC`.
#[derive(Debug)]
pub struct Rules {
    /// What is done with what matches.
    pub action: Action,
    /// In the order of their names.
    pub policies: Vec<Policy>,
}

/// `envoy.config.rbac.v3.RBAC.Action`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// What matches is allowed, and nothing else.
    Allow,
    /// What matches is denied, and nothing else.
    Deny,
    /// All is allowed.
    Log,
}

/// `envoy.config.rbac.v3.Policy`: one of each must match.
#[derive(Debug)]
pub struct Policy {
    /// Its name.
    pub name: Box<str>,
    /// What somebody wants to do.
    pub permissions: Vec<Permission>,
    /// Who they are.
    pub principals: Vec<Principal>,
}

/// `envoy.config.rbac.v3.Permission`.
#[derive(Debug)]
pub enum Permission {
    /// Anything.
    Any,
    /// All of these.
    All(Vec<Permission>),
    /// One of these.
    One(Vec<Permission>),
    /// Not this.
    Not(Box<Permission>),
    /// To this end.
    DestinationIp(Cidr),
    /// To one of these ports.
    DestinationPorts(std::ops::Range<i32>),
    /// To a server of this name.
    ServerName(StringMatch),
}

/// `envoy.config.rbac.v3.Principal`.
#[derive(Debug)]
pub enum Principal {
    /// Anybody.
    Any,
    /// All of these.
    All(Vec<Principal>),
    /// One of these.
    One(Vec<Principal>),
    /// Not this.
    Not(Box<Principal>),
    /// By TLS, and with a certificate that says this, if that is asked for.
    Authenticated(Option<StringMatch>),
    /// The peer of the connection.
    DirectRemoteIp(Cidr),
    /// Who is taken for the client.
    RemoteIp(Cidr),
    /// With this object.
    FilterState(Box<str>, StringMatch),
}

/// What is judged.
#[derive(Copy, Clone, Debug)]
pub struct Subject<'a> {
    /// Where the client has connected to.
    pub local: Option<&'a Address>,
    /// The peer of the connection.
    pub direct_remote: &'a Address,
    /// Who is taken for the client.
    pub remote: &'a Address,
    /// The name that the client has asked for in TLS; empty if it has not.
    pub server_name: &'a str,
    /// Its TLS, if it has any.
    pub tls: Option<&'a TlsInfo>,
    /// What filters have left.
    pub filter_state: Option<&'a FilterState>,
}

/// A judgement.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Judgement<'a> {
    /// Whether it is allowed.
    pub allowed: bool,
    /// The policy that has matched.
    pub policy: Option<&'a str>,
}

impl Rules {
    /// Judges.
    pub fn judge(&self, subject: &Subject<'_>) -> Judgement<'_> {
        let found = self.policies.iter().find(|policy| policy.matches(subject));
        let allowed = match self.action {
            Action::Allow => found.is_some(),
            Action::Deny => found.is_none(),
            Action::Log => true,
        };
        Judgement { allowed, policy: found.map(|policy| &*policy.name) }
    }
}

impl Policy {
    fn matches(&self, subject: &Subject<'_>) -> bool {
        self.permissions.iter().any(|permission| permission.matches(subject))
            && self.principals.iter().any(|principal| principal.matches(subject))
    }
}

impl Permission {
    fn matches(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::All(all) => all.iter().all(|one| one.matches(subject)),
            Self::One(some) => some.iter().any(|one| one.matches(subject)),
            Self::Not(not) => !not.matches(subject),
            Self::DestinationIp(range) => subject.local.is_some_and(|local| range.contains_socket(local)),
            Self::DestinationPorts(ports) => match subject.local {
                Some(Address::Inet(local)) => ports.contains(&i32::from(local.port())),
                _ => false,
            },
            Self::ServerName(name) => name.matches(subject.server_name.as_bytes()),
        }
    }
}

impl Principal {
    fn matches(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::All(all) => all.iter().all(|one| one.matches(subject)),
            Self::One(some) => some.iter().any(|one| one.matches(subject)),
            Self::Not(not) => !not.matches(subject),
            // As in Envoy: any TLS will do where no name is asked for; whom to let in there is said with the certificates.
            Self::Authenticated(None) => subject.tls.is_some(),
            Self::Authenticated(Some(wanted)) => subject.tls.is_some_and(|tls| is_called(wanted, tls)),
            Self::DirectRemoteIp(range) => range.contains_socket(subject.direct_remote),
            Self::RemoteIp(range) => range.contains_socket(subject.remote),
            Self::FilterState(name, wanted) => subject
                .filter_state
                .and_then(|state| state.get(name))
                .is_some_and(|object| wanted.matches(&object.value)),
        }
    }
}

/// Whether the client's certificate gives it such a name; without a certificate it has an empty one.
fn is_called(wanted: &StringMatch, tls: &TlsInfo) -> bool {
    let Some(certificate) = tls.peer_certificate() else { return wanted.matches(b"") };
    certificate.principals().any(|name| wanted.matches(name.as_bytes()))
}

#[cfg(test)]
mod tests;
