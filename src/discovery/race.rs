//! The same work for several, beside each other, in short-lived threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use crate::sys::thread;

/// Does `work` for each of 0 to `count`, [`MAX_THREADS`] at a time. The answers come as they are ready; when nobody
/// listens any more, no further work is begun.
pub(super) fn race<T: Send + 'static>(
    name: &str,
    count: usize,
    work: impl Fn(usize) -> T + Send + Sync + 'static,
) -> mpsc::Receiver<(usize, T)> {
    let (sender, answers) = mpsc::channel();
    let queue = Arc::new(Queue { work, count, next: AtomicUsize::new(0) });
    let mut workers = 0;
    for _ in 0..count.min(MAX_THREADS) {
        let (queue, sender) = (Arc::clone(&queue), sender.clone());
        match thread::spawn(name, move || queue.run(&sender)) {
            Ok(()) => workers += 1,
            Err(_) => break,
        }
    }
    if workers == 0 {
        // The system gives no thread: one after the other, here.
        queue.run(&sender);
    }
    answers
}

struct Queue<W> {
    work: W,
    count: usize,
    next: AtomicUsize,
}

impl<T, W: Fn(usize) -> T> Queue<W> {
    fn run(&self, answers: &mpsc::Sender<(usize, T)>) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.count || answers.send((number, (self.work)(number))).is_err() {
                return;
            }
        }
    }
}

/// How many are asked at a time.
const MAX_THREADS: usize = 32;
