//! `vedfolnir chaos`: the arguments, and what is done with them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::drill::{self, DrillArgs};
use crate::error::HarnessError;
use crate::report::{self, Eye};
use crate::runner::{self, Options, Run};
use crate::scenario::{self, Need, Scenario};
use crate::workload::OfficialPlan;

/// Nodes of a cluster under attack.
const NODES: [usize; 2] = [3, 5];
/// Clients that fit on a machine with the nodes.
const CLIENTS_MAX: usize = 20_000;
const RATE_MAX: u32 = 10_000;

/// What `vedfolnir chaos` does.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Name the scenarios, one a line.
    List,
    /// Run scenarios against a cluster of real processes on this machine; exit code 1 if a promise was broken, 2 if the harness failed.
    Run(RunArgs),
    /// Run all scenarios again and again, each time with another seed, until the time is over or a promise is broken.
    Soak(SoakArgs),
    /// Kill or stop one node of a running cluster, and see by canaries what its clients see.
    Drill(DrillArgs),
}

/// See [`Verb::Run`].
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Names of scenarios, or `all`
    #[arg(required = true, value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// How long rounds of each are begun, such as 30s, 5m or 1h
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time, conflicts_with = "quick")]
    duration: Duration,
    /// One round of each
    #[arg(long)]
    quick: bool,
    /// The seed of all chance [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Go on with the next scenario after a broken promise
    #[arg(long)]
    keep_going: bool,
    #[command(flatten)]
    common: CommonArgs,
}

/// See [`Verb::Soak`].
#[derive(Args, Debug)]
pub struct SoakArgs {
    /// For how long, such as 90m or 8h
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = time)]
    duration: Duration,
    /// The first run's seed; the others follow it
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Args, Clone, Debug)]
struct CommonArgs {
    /// Nodes: 3 or 5 [default: 3, or what the scenario needs]
    #[arg(long, value_name = "N")]
    nodes: Option<usize>,
    /// Clients that listen
    #[arg(long, value_name = "N", default_value_t = 60)]
    clients: usize,
    /// Messages a second
    #[arg(long, value_name = "N", default_value_t = 150)]
    rate: u32,
    /// Official JavaScript clients among those that listen; needs Node.js with npm
    #[arg(long, value_name = "N", default_value_t = 6)]
    official: usize,
    /// Directory with node_modules/socket.io-client [default: a cache; installed from npm if it is not there]
    #[arg(long, value_name = "DIR", env = "VEDFOLNIR_CHAOS_MODULES")]
    modules: Option<PathBuf>,
    /// The program to attack [default: this one]
    #[arg(long, value_name = "PATH")]
    bin: Option<PathBuf>,
    /// Write reports, logs and what is left of the data directories here [default: a temporary directory; kept if a promise was broken]
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Nothing but verdicts
    #[arg(long)]
    quiet: bool,
}

/// Does what was asked; returns the number of broken promises.
///
/// # Errors
/// The harness itself cannot do its work.
pub async fn run(verb: Verb) -> Result<u64, HarnessError> {
    match verb {
        Verb::List => {
            for scenario in scenario::ALL {
                println!("{:<22} {}", scenario.name(), scenario.about());
            }
            Ok(0)
        }
        Verb::Run(arguments) => run_scenarios(arguments).await,
        Verb::Soak(arguments) => soak(arguments).await,
        Verb::Drill(arguments) => drill::run(arguments).await,
    }
}

async fn run_scenarios(arguments: RunArgs) -> Result<u64, HarnessError> {
    let scenarios = chosen(&arguments.scenarios)?;
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(1..1_000_000));
    let duration = (!arguments.quick).then_some(arguments.duration);
    let bench = Bench::prepare(arguments.common).await?;
    let mut violations = 0;
    for scenario in scenarios {
        violations += bench.one(scenario, seed, duration).await?;
        if violations > 0 && !arguments.keep_going {
            break;
        }
    }
    bench.clean(violations);
    Ok(violations)
}

async fn soak(arguments: SoakArgs) -> Result<u64, HarnessError> {
    let bench = Bench::prepare(arguments.common).await?;
    let until = std::time::Instant::now() + arguments.duration;
    let mut violations = 0;
    let mut seed = arguments.seed;
    'soak: loop {
        for scenario in scenario::ALL {
            if std::time::Instant::now() >= until {
                break 'soak;
            }
            violations += bench.one(*scenario, seed, Some(Duration::from_secs(20))).await?;
            if violations > 0 {
                break 'soak;
            }
        }
        seed += 1;
    }
    bench.clean(violations);
    Ok(violations)
}

fn chosen(names: &[String]) -> Result<Vec<&'static dyn Scenario>, HarnessError> {
    if names.iter().any(|name| name == "all") {
        return Ok(scenario::ALL.to_vec());
    }
    names.iter().map(|name| scenario::find(name)).collect()
}

/// What all runs of one command share.
struct Bench {
    common: CommonArgs,
    program: PathBuf,
    directory: PathBuf,
    official: Option<OfficialPlan>,
}

impl Bench {
    async fn prepare(common: CommonArgs) -> Result<Self, HarnessError> {
        let refused = |argument, value: usize, accepted: String| {
            Err(HarnessError::Argument { argument, value: value.to_string(), accepted })
        };
        if let Some(nodes) = common.nodes.filter(|nodes| !NODES.contains(nodes)) {
            return refused("--nodes", nodes, "3 or 5".to_owned());
        }
        if !(1..=CLIENTS_MAX).contains(&common.clients) {
            return refused("--clients", common.clients, format!("1 to {CLIENTS_MAX}"));
        }
        if !(1..=RATE_MAX).contains(&common.rate) {
            return refused("--rate", common.rate as usize, format!("1 to {RATE_MAX}"));
        }
        let program = match &common.bin {
            Some(path) => path.canonicalize().map_err(HarnessError::file(path))?,
            None => std::env::current_exe().map_err(HarnessError::file("this program"))?,
        };
        let directory = match &common.report {
            Some(path) => path.clone(),
            None => std::env::temp_dir().join(format!("vedfolnir-chaos-{:08x}", fastrand::u32(..))),
        };
        std::fs::create_dir_all(&directory).map_err(HarnessError::file(&directory))?;
        let directory = directory.canonicalize().map_err(HarnessError::file(&directory))?;
        let official = match common.official {
            0 => None,
            count => {
                let modules = common.modules.clone().unwrap_or_else(modules);
                // Half of them wait before they reconnect, as the client does by default.
                Some(OfficialPlan::prepare(count.div_ceil(2), count / 2, &modules).await?)
            }
        };
        Ok(Self { common, program, directory, official })
    }

    /// Runs one scenario and says what came of it.
    async fn one(
        &self,
        scenario: &'static dyn Scenario,
        seed: u64,
        duration: Option<Duration>,
    ) -> Result<u64, HarnessError> {
        if let Some(why) = missing(scenario) {
            println!("{:<20} skipped: {why}", scenario.name());
            return Ok(0);
        }
        let least = scenario.needs().iter().map(|need| if let Need::Nodes(nodes) = need { *nodes } else { NODES[0] });
        let options = Options {
            program: self.program.clone(),
            nodes: self.common.nodes.unwrap_or(NODES[0]).max(least.max().unwrap_or(NODES[0])),
            duration,
            seed,
            clients: self.common.clients,
            rate: self.common.rate,
            official: self.official.clone(),
            directory: runner::directory(&self.directory, scenario.name(), seed),
        };
        let mut eye = Eye::new(scenario.name(), self.common.quiet);
        let run = match runner::run(scenario, options, &mut eye).await {
            Err(HarnessError::NotHere(why)) => {
                println!("{:<20} skipped: {why}", scenario.name());
                return Ok(0);
            }
            run => run?,
        };
        self.tell(&run)?;
        Ok(run.violations())
    }

    fn tell(&self, run: &Run) -> Result<(), HarnessError> {
        let paths = report::write(run, &run.options.directory)?;
        if run.violations() > 0 {
            println!("{}", report::text(run));
            for path in paths {
                println!("report: {}", path.display());
            }
        } else {
            println!("{}", report::summary(run));
            // What nobody needs any more would fill the disk in a long run.
            for node in 1.. {
                let data = run.options.directory.join(format!("node-{node}"));
                if !data.exists() {
                    break;
                }
                std::fs::remove_dir_all(&data).map_err(HarnessError::file(&data))?;
            }
        }
        Ok(())
    }

    /// Without a finding nobody looks for what was written to no place that was named.
    fn clean(&self, violations: u64) {
        if violations == 0 && self.common.report.is_none() {
            // A temporary directory that stays does no harm.
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

/// Why a scenario cannot be run here.
fn missing(scenario: &dyn Scenario) -> Option<String> {
    scenario.needs().iter().find_map(|need| match need {
        Need::Nodes(_) => None,
        Need::Root => (!rustix::process::geteuid().is_root()).then(|| "it needs root".to_owned()),
        Need::Compiler => (!on_path("cc")).then(|| "it needs a C compiler, `cc`".to_owned()),
        Need::UserNamespaces => (!on_path("unshare")).then(|| "it needs `unshare` (util-linux)".to_owned()),
        Need::LoopDevices => (!(Path::new("/dev/loop-control").exists() && on_path("mkfs.ext4")))
            .then(|| "it needs loop devices and mkfs.ext4".to_owned()),
        Need::Cgroups => (!Path::new("/sys/fs/cgroup").exists()).then(|| "it needs control groups".to_owned()),
    })
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|place| place.join(program).exists()))
}

/// Where the official client is kept between runs.
fn modules() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    cache.or_else(home).unwrap_or_else(std::env::temp_dir).join("vedfolnir/chaos-clients")
}

/// `30s`, `5m`, `1h`, or seconds.
fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|letter: char| !letter.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(format!("{text:?} is no time; accepted: a number with s, m or h")),
    };
    let number: u64 = number.parse().map_err(|_| format!("{text:?} is no time; accepted: a number with s, m or h"))?;
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}
