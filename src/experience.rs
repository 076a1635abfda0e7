//! What connecting to members has taught: how long it takes, and who refuses. Pure: the time comes in as an argument.

use std::collections::HashMap;
use std::time::Duration;

use crate::route::Route;

/// What is known of servers by the way to them.
#[derive(Debug, Clone, Default)]
pub struct Experience {
    refused: Vec<(Route, Duration)>,
    distances: HashMap<Route, Duration>,
}

impl Experience {
    /// A connection was refused at `now`: the server is left out for [`LEFT_OUT_FOR`].
    pub fn refused(&mut self, route: &Route, now: Duration) {
        self.refused.retain(|(known, until)| known != route && *until > now);
        self.refused.push((route.clone(), now + LEFT_OUT_FOR));
    }

    /// Whether it is left out at `now`.
    pub fn is_left_out(&self, route: &Route, now: Duration) -> bool {
        self.refused.iter().any(|(known, until)| known == route && *until > now)
    }

    /// Takes in how long connecting took; `None`, it did not work. Routes that are not among them are forgotten.
    pub fn measured(&mut self, times: Vec<(Route, Option<Duration>)>) {
        let before = std::mem::take(&mut self.distances);
        for (route, time) in times {
            let known = before.get(&route).copied();
            let average = match (known, time) {
                // A moving average: a new time counts a quarter.
                (Some(known), Some(time)) => Some((known * 3 + time) / 4),
                (known, time) => time.or(known),
            };
            self.distances.extend(average.map(|average| (route, average)));
        }
    }

    /// Which of `routes` are the nearest: those whose average is not much above the least. All, while nothing is known.
    pub fn nearest(&self, routes: &[&Route]) -> Vec<bool> {
        let distance = |route: &Route| self.distances.get(route).copied();
        let Some(least) = routes.iter().filter_map(|route| distance(route)).min() else {
            return vec![true; routes.len()];
        };
        // Nearer by less than this is no difference between places.
        let limit = least + (least / 4).max(SAME_PLACE);
        routes.iter().map(|route| distance(route).is_some_and(|distance| distance <= limit)).collect()
    }
}

/// How long a server that has refused a connection is left out.
pub const LEFT_OUT_FOR: Duration = Duration::from_secs(5);

const SAME_PLACE: Duration = Duration::from_micros(500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Host;

    fn route(host: &str) -> Route {
        Route { host: Host::parse(host).unwrap(), address: None, port: 5432 }
    }

    const NOW: Duration = Duration::from_secs(1000);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn who_refuses_is_left_out_for_five_seconds() {
        let (a, b) = (route("10.0.0.1"), route("10.0.0.2"));
        let mut experience = Experience::default();
        experience.refused(&a, NOW);
        assert!(experience.is_left_out(&a, NOW) && !experience.is_left_out(&b, NOW));
        assert!(experience.is_left_out(&a, NOW + Duration::from_millis(4999)));
        assert!(!experience.is_left_out(&a, NOW + LEFT_OUT_FOR));
        experience.refused(&a, NOW + LEFT_OUT_FOR);
        assert!(experience.is_left_out(&a, NOW + LEFT_OUT_FOR));
    }

    #[test]
    fn the_nearest_is_told_by_a_moving_average() {
        let (a, b, c) = (route("10.0.0.1"), route("10.0.0.2"), route("10.0.0.3"));
        let all = [&a, &b, &c];
        let mut experience = Experience::default();
        assert_eq!(experience.nearest(&all), [true, true, true]);
        experience.measured(vec![(a.clone(), Some(MS)), (b.clone(), Some(MS * 30)), (c.clone(), Some(MS * 5 / 4))]);
        assert_eq!(experience.nearest(&all), [true, false, true]);
        // One slow connection does not change it; many do.
        let slow = || vec![(a.clone(), Some(MS * 40)), (b.clone(), Some(MS * 30)), (c.clone(), None)];
        experience.measured(slow());
        assert_eq!(experience.nearest(&all), [false, false, true]);
        assert_eq!(experience.nearest(&[&a, &b]), [true, false]);
        (0..20).for_each(|_| experience.measured(slow()));
        assert_eq!(experience.nearest(&[&a, &b]), [false, true]);
        experience.measured(vec![(b.clone(), Some(MS))]);
        assert_eq!(experience.nearest(&[&a, &c]), [true, true]);
    }
}
