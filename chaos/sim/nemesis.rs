//! What goes wrong, and when: crashes, losses of power and of a disk, pauses, cut links, bad weather, slow and hanging
//! disks, wall clocks that jump, leaders that are told to hand over.

use vedfolnir_sim_storage::{self as disk, DiskWeather};
use vedfolnir_sim_world::links::Weather;
use vedfolnir_sim_world::{clock, hosts, links, random, trace};

use crate::node::Node;

/// See the module.
pub(crate) struct Nemesis {
    next_at_us: u64,
    /// Between two misfortunes on average, microseconds.
    pause_us: u64,
    /// A disk is lost at most once: what a majority has on its disks must not be lost faster than it is copied.
    loses_disk: bool,
}

fn ms(milliseconds: u64) -> u64 {
    milliseconds * 1_000
}

impl Nemesis {
    pub(crate) fn new() -> Self {
        let pause_us = ms(random::pick(&[400, 900, 1_500, 3_000]));
        let loses_disk = random::chance(250);
        Self { next_at_us: clock::now_us() + ms(random::between(0, 4_000)), pause_us, loses_disk }
    }

    /// Does something if it is time.
    pub(crate) fn tick(&mut self, nodes: &mut [Node]) {
        if clock::now_us() < self.next_at_us {
            return;
        }
        self.next_at_us = clock::now_us() + random::between(1, self.pause_us * 2);
        self.strike(nodes);
    }

    fn strike(&mut self, nodes: &mut [Node]) {
        let count = nodes.len();
        let (one, other) = (random::below(count as u64) as usize, random::below(count as u64) as usize);
        let lasts =
            ms(random::pick(&[random::between(50, 600), random::between(600, 2_500), random::between(2_500, 8_000)]));
        let until = clock::now_us() + lasts;
        match random::below(114) {
            0..18 => nodes[one].crash(false, until),
            18..30 => nodes[one].crash(true, until),
            30..35 => {
                for node in nodes.iter_mut() {
                    node.crash(true, clock::now_us() + ms(random::between(50, 2_500)));
                }
            }
            35..40 => nodes[one].stop(),
            40..50 => {
                trace::tell(&format!("host {one} is frozen for {} ms", lasts / 1_000));
                hosts::freeze(one, until);
            }
            50..58 if one != other => {
                trace::tell(&format!("nothing gets from host {one} to host {other} for {} ms", lasts / 1_000));
                cut(&[one], &[other], until);
            }
            58..66 => {
                trace::tell(&format!("host {one} is cut off for {} ms", lasts / 1_000));
                let rest: Vec<usize> = (0..count).filter(|host| *host != one).collect();
                cut(&[one], &rest, until);
                cut(&rest, &[one], until);
            }
            66..71 => {
                trace::tell(&format!("host {one} hears nothing for {} ms", lasts / 1_000));
                let rest: Vec<usize> = (0..count).filter(|host| *host != one).collect();
                cut(&rest, &[one], until);
            }
            71..78 => {
                let mut all: Vec<usize> = (0..count).collect();
                random::shuffle(&mut all);
                let (few, many) = all.split_at(count / 2);
                trace::tell(&format!("{few:?} and {many:?} are apart for {} ms", lasts / 1_000));
                cut(few, many, until);
                cut(many, few, until);
            }
            78..86 => {
                let weather = random::pick(&[
                    Weather { latency_us: 5_000, jitter_us: 30_000, loss_per_mille: 10, resend_us: 120_000 },
                    Weather { latency_us: 300, jitter_us: 2_000, loss_per_mille: 100, resend_us: 300_000 },
                    Weather { latency_us: 40_000, jitter_us: 80_000, loss_per_mille: 30, resend_us: 200_000 },
                ]);
                trace::tell(&format!("bad weather for {} ms", lasts / 1_000));
                links::set_weather(weather);
                clock::at(until, || links::set_weather(Weather::FAIR));
            }
            86..93 => {
                trace::tell(&format!("the disk of host {one} is slow for {} ms", lasts / 1_000));
                let path = nodes[one].disk();
                let weather =
                    DiskWeather { sync_us: ms(random::between(5, 60)), jitter_us: ms(200), hangs_until_us: 0 };
                disk::set_weather(&path, weather);
                clock::at(until, move || disk::set_weather(&path, DiskWeather::FAIR));
            }
            93..98 => {
                trace::tell(&format!("the disk of host {one} hangs for {} ms", lasts / 1_000));
                disk::set_weather(&nodes[one].disk(), DiskWeather { hangs_until_us: until, ..DiskWeather::FAIR });
            }
            98..103 => {
                let by_us = random::between(0, 7_200_000_000) as i64 - 3_600_000_000;
                trace::tell(&format!("the wall clock of host {one} jumps by {} ms", by_us / 1_000));
                hosts::jump_wall_clock(one, by_us);
            }
            103..109 => {
                trace::tell(&format!("host {one} is asked to have another one lead"));
                // Whether it could be done is of no interest.
                nodes[one].ask(|cluster| async move { drop(cluster.transfer_leadership_to(None).await) });
            }
            109..112 if self.loses_disk && clock::now_us() > ms(5_000) => {
                self.loses_disk = false;
                Self::lose_disk(nodes, one, other, until);
            }
            _ => {
                trace::tell(&format!("hosts {one} and {other} are frozen for {} ms", lasts / 1_000));
                hosts::freeze(one, until);
                hosts::freeze(other, until);
            }
        }
    }

    /// A host loses its disk for good; perhaps an operator has the node that it was removed.
    fn lose_disk(nodes: &mut [Node], one: usize, other: usize, until: u64) {
        let dead = nodes[one].life.cluster.lock().as_ref().map(|cluster| cluster.identity().node_id);
        nodes[one].lose_disk(until);
        if let Some(dead) = dead.filter(|_| one != other && random::chance(500)) {
            trace::tell(&format!("host {other} is asked to remove node {dead:016x}"));
            nodes[other].ask(move |cluster| async move { drop(cluster.remove(dead, false).await) });
        }
    }

    /// Everything is well again; who is down comes back.
    pub(crate) fn heal(nodes: &mut [Node]) {
        trace::tell("everything is healed");
        links::mend_all();
        links::set_weather(Weather::FAIR);
        for node in nodes {
            hosts::thaw(node.host);
            disk::set_weather(&node.disk(), DiskWeather::FAIR);
            if !node.is_running() {
                node.restart_at_us = Some(clock::now_us());
            }
        }
    }
}

fn cut(from: &[usize], to: &[usize], until: u64) {
    for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to))) {
        links::cut(from, to);
        clock::at(until, move || links::mend(from, to));
    }
}
