//! A node's certificate expires while it runs: what is connected stays so, but once it has to connect again nobody lets it. It says
//! so, the others go on, and with a new certificate it is a member as before.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use super::ground::{called, pick};
use super::{Attack, Scenario};
use crate::error::HarnessError;
use crate::inject::certificates::Authority;
use crate::record::MarkKind;
use crate::world::{Setup, World, wait};

/// What is not to expire.
const LONG: Duration = Duration::from_secs(86_400);
/// Time for the node to start with what is about to expire.
const SHORT: Duration = Duration::from_secs(5);
/// Connections between nodes that have been silent for so long are given up.
const CUT_FOR: Duration = Duration::from_secs(8);
const SAYS_SO_WITHIN: Duration = Duration::from_secs(20);

pub(super) struct ExpiredCertificate;

impl Scenario for ExpiredCertificate {
    fn name(&self) -> &'static str {
        "expired-certificate"
    }

    fn about(&self) -> &'static str {
        "a node's certificate for its peers expires while it runs, and it has to connect again; later it gets a new one"
    }

    fn setup(&self, setup: &mut Setup) -> Result<(), HarnessError> {
        let authority = Authority::make(&setup.directory.join("certificates"))?;
        for (index, launch) in setup.launches.iter_mut().enumerate() {
            let files = authority.issue(&name(index), LOOPBACK, SystemTime::now() + LONG)?;
            for (option, file) in [("--tls-ca", files.ca), ("--tls-cert", files.cert), ("--tls-key", files.key)] {
                launch.arguments.extend([option.into(), file.into()]);
            }
        }
        setup.bring(authority);
        Ok(())
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let node = pick(world, false).await?;
            let who = called(world, node, false);
            let fault =
                world.fault(MarkKind::Process, format!("{who}, is given a certificate that expires"), Some(node));
            world.cluster.stop(node).await?;
            let until = SystemTime::now() + SHORT;
            world.tool::<Authority>()?.issue(&name(node), LOOPBACK, until)?;
            world.cluster.start(node).await?;
            world.healed(fault);
            let fault = world.fault(MarkKind::Network, format!("the certificate of {who}, has expired"), Some(node));
            world.hold(until.duration_since(SystemTime::now()).unwrap_or_default() + Duration::from_secs(2)).await;
            // What stands is not cut off.
            world.traffic(30).await?;
            world.network.isolate(node);
            world.hold(CUT_FOR).await;
            world.network.heal();
            let says = || world.cluster.node(node).output().contains("certificate has expired");
            if wait("that it says so", SAYS_SO_WITHIN, says).await.is_err() {
                world.violation(format!("{who}: its certificate has expired, and it does not say so"));
            }
            world.traffic(60).await?;
            world.everyone_connected().await?;
            world.cluster.stop(node).await?;
            world.tool::<Authority>()?.issue(&name(node), LOOPBACK, SystemTime::now() + LONG)?;
            world.cluster.start(node).await?;
            world.healed(fault);
            world.converged().await?;
            world.traffic(60).await
        })
    }
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn name(node: usize) -> String {
    format!("node-{}", node + 1)
}
