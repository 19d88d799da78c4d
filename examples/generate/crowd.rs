//! Many conversations at a time, their packets merged in time order.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::sink::{Full, Sink};
use super::support::capture::{Capture, Packet};

/// Somebody who has packets recorded, step by step.
pub trait Actor {
    /// Records what happens next, in time order. An actor that records nothing has finished.
    fn step(&mut self, capture: &mut Capture);
}

/// Runs the actors until the last is over or the sink is full.
pub fn run(mut actors: Vec<Box<dyn Actor>>, sink: &mut Sink) -> Result<(), Full> {
    let mut queues: Vec<VecDeque<Packet>> = actors.iter().map(|_| VecDeque::new()).collect();
    let mut turns = BinaryHeap::new();
    for (index, actor) in actors.iter_mut().enumerate() {
        advance(actor.as_mut(), index, &mut queues[index], &mut turns);
    }
    while let Some(Reverse((_, index))) = turns.pop() {
        if let Some(packet) = queues[index].pop_front() {
            sink.packet(packet)?;
        }
        advance(actors[index].as_mut(), index, &mut queues[index], &mut turns);
    }
    Ok(())
}

/// Puts an actor in line for its next packet.
fn advance(
    actor: &mut dyn Actor,
    index: usize,
    queue: &mut VecDeque<Packet>,
    turns: &mut BinaryHeap<Reverse<(u64, usize)>>,
) {
    if queue.is_empty() {
        let mut capture = Capture::default();
        actor.step(&mut capture);
        *queue = capture.packets.into();
    }
    if let Some(packet) = queue.front() {
        turns.push(Reverse((packet.micros, index)));
    }
}
