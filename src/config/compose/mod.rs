//! [`Values`] to [`Config`]: each floor's part beside the settings that it is made of, judged against each other.

mod api;
mod auth;
mod backend;
mod backup;
mod balancer;
mod cluster;
mod log;
mod monitoring;
mod node;
mod peers;
mod recovery;
mod security;
mod service;
pub(super) mod tls;
mod traces;
mod webhooks;

pub(crate) use service::FILES_RESERVED;

use super::values::Values;
use super::{Config, Inputs, Shown};

impl Config {
    /// Every part. What is wrong is in `values` afterwards; what is made of it then is not to be used.
    pub(super) fn compose(values: &Values<'_>, inputs: &Inputs) -> Self {
        let node = node::compose(values);
        let tls = tls::compose(values, inputs);
        let proxies = balancer::compose(values, tls.is_some());
        let public = service::compose(values, inputs, tls);
        Self {
            cluster: cluster::compose(values, &node.data_dir),
            admin: security::admin(values),
            api: api::compose(values, node.production),
            security: security::compose(values, &public, proxies),
            monitoring: monitoring::compose(values, inputs),
            log: log::compose(values),
            backup: backup::compose(values),
            backend: backend::compose(values),
            webhooks: webhooks::compose(values),
            hash: Shown::of(values).hash(),
            public,
            node,
        }
    }
}
