//! __name__: sends each request to the target with the least load for its weight.
#![no_std]
mod manifest;

use infermesh_strategy::{max32, strategy, Frame, Status};
use manifest::{columns, MANIFEST, TOP_K};

/// Smallest weight a target is taken to have; keeps costs finite.
const WEIGHT_MIN: f32 = 0.01;

/// Called for every request: the eligible targets by cost, lowest first. Keep nothing between calls: same frame, same answer.
fn rank(frame: &mut Frame) -> Status {
    let load = columns::load(&frame.rows);
    let weight = columns::weight(&frame.rows);
    let cost = frame.scratch(0);
    for ((cost, load), weight) in cost.iter_mut().zip(load).zip(weight) {
        *cost = load / max32(*weight, WEIGHT_MIN);
    }
    frame.rank_lowest(cost, TOP_K)
}

strategy!(manifest: MANIFEST, rank: rank);
