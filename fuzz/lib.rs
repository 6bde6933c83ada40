//! What the fuzz targets share: their table, the bound on memory that each is held to, and the way in from libFuzzer.
//!
//! ```text
//!   libFuzzer ──input──► Targets::run ──► the target named by FUZZ_TARGET: decode, encode, decode again, compare
//!                            └─ panics when more memory was held at once than the target's Bound allows for the input
//! ```
//!
//! A target is a file with a function and, beside it, its bound. docs/fuzzing.md lists them; tests/fuzz.sh runs them.
#![cfg(feature = "libfuzzer")]

pub mod input;
pub mod memory;

use std::sync::OnceLock;

pub use memory::Bound;

/// Names the target to run; without it the program lists its targets.
const FUZZ_TARGET: &str = "FUZZ_TARGET";

/// One decoder, or a few that read the same bytes.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: that of its corpus.
    pub name: &'static str,
    /// Takes one input; panics when something that must hold does not.
    pub run: fn(&[u8]),
    /// Memory that may be held at once.
    pub memory: Bound,
    /// Bytes of an input at most: beyond the decoder's own bounds nothing is found.
    pub input_bytes_max: usize,
}

/// Builds a [`Target`] of a module that has `run`, `MEMORY` and `INPUT_BYTES_MAX`.
#[macro_export]
macro_rules! target {
    ($($module:ident),* $(,)?) => {
        [$($crate::Target {
            name: stringify!($module),
            run: $module::run,
            memory: $module::MEMORY,
            input_bytes_max: $module::INPUT_BYTES_MAX,
        }),*]
    };
}

/// The targets of one program, one of which is chosen when it starts.
pub struct Targets {
    all: &'static [Target],
    chosen: OnceLock<Target>,
}

impl Targets {
    /// These.
    #[must_use]
    pub const fn new(all: &'static [Target]) -> Self {
        Self { all, chosen: OnceLock::new() }
    }

    /// Chooses the target that the environment names, before the first input; without one, lists them and exits.
    pub fn choose(&self) {
        let Ok(name) = std::env::var(FUZZ_TARGET) else {
            for target in self.all {
                println!("{} {}", target.name, target.input_bytes_max);
            }
            std::process::exit(0);
        };
        let Some(target) = self.all.iter().find(|target| target.name == name) else {
            eprintln!("{FUZZ_TARGET}={name}: no target of this program");
            std::process::exit(2);
        };
        // Called once.
        let _ = self.chosen.set(*target);
    }

    /// Runs one input through the chosen target.
    ///
    /// # Panics
    /// When what the target asserts does not hold, or it held more memory than its bound.
    pub fn run(&self, input: &[u8]) {
        let Some(target) = self.chosen.get() else { return };
        let held = memory::peak_of(|| (target.run)(input));
        let allowed = target.memory.of(input.len());
        assert!(
            held <= allowed,
            "{} held {held} bytes at once for an input of {} bytes; its bound is {allowed}",
            target.name,
            input.len()
        );
    }
}

/// The entry point of a program: `fuzz!(engine_packet, payload, …)`, each a module.
#[macro_export]
macro_rules! fuzz {
    ($($module:ident),* $(,)?) => {
        #[global_allocator]
        static ALLOCATOR: $crate::memory::Counting = $crate::memory::Counting;
        static TARGETS: $crate::Targets = {
            static ALL: &[$crate::Target] = &$crate::target![$($module),*];
            $crate::Targets::new(ALL)
        };
        libfuzzer_sys::fuzz_target!(init: TARGETS.choose(), |input: &[u8]| TARGETS.run(input));
    };
}
