//! A plot as SVG: axes and marks in named colours, which the style sheet turns into those of the theme.
//!
//! Numbers only: no text of a packet gets here.

use maud::{Markup, PreEscaped, html};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::report::html::budget::Budget;

/// The colours of marks. The style sheet knows each of them by its value, and has another for the dark theme.
pub(super) const PLAIN: RGBColor = RGBColor(0x2b, 0x6c, 0xb0);
pub(super) const BAD: RGBColor = RGBColor(0xc0, 0x3a, 0x2b);
pub(super) const GOOD: RGBColor = RGBColor(0x2f, 0x85, 0x5a);
pub(super) const MARKED: RGBColor = RGBColor(0xb7, 0x79, 0x1f);
pub(super) const OTHER: RGBColor = RGBColor(0x6b, 0x46, 0xc1);
const INK: RGBColor = RGBColor(0x1f, 0x29, 0x33);
const TEXT: RGBColor = RGBColor(0x52, 0x60, 0x6d);
const AXIS: RGBColor = RGBColor(0x9a, 0xa5, 0xb1);
const GRID: RGBColor = RGBColor(0xe4, 0xe7, 0xeb);

/// The shape of a mark, for the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Dot,
    Ring,
    Triangle,
    Cross,
    Line,
    Bar,
}

/// What a mark means.
pub(super) type Key = (Shape, RGBColor, &'static str);

/// What a plot is about, and its axes.
pub(super) struct Axes<'a> {
    pub(super) height: u32,
    pub(super) x: (f64, f64),
    pub(super) y: (f64, f64),
    pub(super) x_labels: usize,
    pub(super) y_labels: usize,
    pub(super) x_name: &'a str,
    pub(super) y_name: &'a str,
    pub(super) x_label: &'a dyn Fn(f64) -> String,
    pub(super) y_label: &'a dyn Fn(f64) -> String,
}

/// Width of every plot. It is drawn as wide as there is room.
const WIDTH: u32 = 860;

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Where marks are put. Drawing into memory does not fail; what lies outside the axes is left out.
pub(super) struct Canvas<'c, 'a, 'b> {
    chart: &'c mut Chart<'a, 'b>,
    x: (f64, f64),
    y: (f64, f64),
}

impl Canvas<'_, '_, '_> {
    fn holds(&self, (x, y): (f64, f64)) -> bool {
        (self.x.0..=self.x.1).contains(&x) && (self.y.0..=self.y.1).contains(&y)
    }

    fn clamped(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (x.clamp(self.x.0, self.x.1), y.clamp(self.y.0, self.y.1))
    }

    pub(super) fn mark(&mut self, shape: Shape, at: (f64, f64), color: RGBColor) {
        if !self.holds(at) {
            return;
        }
        let _ = match shape {
            Shape::Ring => self.chart.draw_series([Circle::new(at, 6, INK.stroke_width(2))]).map(drop),
            Shape::Triangle => self.chart.draw_series([TriangleMarker::new(at, 6, color.filled())]).map(drop),
            Shape::Cross => self.chart.draw_series([Cross::new(at, 4, color.stroke_width(2))]).map(drop),
            _ => self.chart.draw_series([Circle::new(at, 3, color.filled())]).map(drop),
        };
    }

    /// A line through these points.
    pub(super) fn line(&mut self, points: &[(f64, f64)], color: RGBColor, width: u32) {
        let points: Vec<(f64, f64)> = points.iter().map(|at| self.clamped(*at)).collect();
        let _ = self.chart.draw_series([PathElement::new(points, color.stroke_width(width))]).map(drop);
    }

    /// A filled rectangle between two corners.
    pub(super) fn bar(&mut self, from: (f64, f64), to: (f64, f64), color: RGBColor, opacity: f64) {
        let corners = [self.clamped(from), self.clamped(to)];
        let _ = self.chart.draw_series([Rectangle::new(corners, color.mix(opacity).filled())]).map(drop);
    }

    /// A word, which begins at this point.
    pub(super) fn word(&mut self, at: (f64, f64), word: String) {
        let style = ("sans-serif", 13).into_font().color(&INK);
        let at = self.clamped(at);
        let _ = self.chart.draw_series([Text::new(word, at, style)]).map(drop);
    }
}

/// A plot with its title, what it says in words, and its key. `None` when there is no room left for it.
pub(super) fn figure(
    budget: &Budget,
    title: &str,
    says: &str,
    key: &[Key],
    axes: &Axes<'_>,
    paint: impl FnOnce(&mut Canvas<'_, '_, '_>),
) -> Option<Markup> {
    let svg = svg(axes, paint)?;
    let inside = svg.split_once('>').map_or("", |(_, rest)| rest);
    let inside = inside.trim_end().strip_suffix("</svg>").unwrap_or(inside);
    let (height, id) = (axes.height, budget.number(inside.len())?);
    Some(html! {
        figure.plot {
            figcaption { b { (title) } " " span { (says) } }
            div.scroll tabindex="0" role="group" aria-label=(title) {
                svg role="img" viewBox={ "0 0 " (WIDTH) " " (height) }
                    aria-labelledby={ "p" (id) "t p" (id) "d" } {
                    title id={ "p" (id) "t" } { (title) }
                    desc id={ "p" (id) "d" } { (says) }
                    (PreEscaped(inside))
                }
            }
            @if !key.is_empty() {
                ul.key { @for (shape, color, means) in key { li { (sign(*shape, *color)) (means) } } }
            }
        }
    })
}

fn svg(axes: &Axes<'_>, paint: impl FnOnce(&mut Canvas<'_, '_, '_>)) -> Option<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, axes.height)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .margin_right(44)
            .x_label_area_size(44)
            .y_label_area_size(82)
            .build_cartesian_2d(axes.x.0..axes.x.1, axes.y.0..axes.y.1)
            .ok()?;
        let text = ("sans-serif", 13).into_font().color(&TEXT);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(AXIS)
            .label_style(text.clone())
            .axis_desc_style(text)
            .x_labels(axes.x_labels)
            .y_labels(axes.y_labels)
            .x_label_formatter(&|value| (axes.x_label)(*value))
            .y_label_formatter(&|value| (axes.y_label)(*value))
            .x_desc(axes.x_name)
            .y_desc(axes.y_name)
            .draw()
            .ok()?;
        paint(&mut Canvas { chart: &mut chart, x: axes.x, y: axes.y });
        area.present().ok()?;
    }
    Some(svg)
}

/// A mark for the key, in the same colour.
fn sign(shape: Shape, color: RGBColor) -> Markup {
    let color = format!("#{:02X}{:02X}{:02X}", color.0, color.1, color.2);
    html! {
        svg.sign viewBox="0 0 16 16" aria-hidden="true" {
            @match shape {
                Shape::Dot => circle cx="8" cy="8" r="4" fill=(color) {}
                Shape::Ring => circle cx="8" cy="8" r="5" fill="none" stroke="#1F2933" stroke-width="2" {}
                Shape::Triangle => polygon points="8,2 14,13 2,13" fill=(color) {}
                Shape::Cross => path d="M3 3L13 13M13 3L3 13" stroke=(color) stroke-width="2.5" {}
                Shape::Line => path d="M0 8H16" stroke=(color) stroke-width="3" {}
                Shape::Bar => rect x="3" y="2" width="10" height="12" fill=(color) {}
            }
        }
    }
}

/// A number of seconds on an axis: `0`, `40 us`, `2.5 ms`, `12 s`.
pub(super) fn seconds(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        size if size < 1e-9 => return "0".to_owned(),
        size if size < 0.999_5e-3 => (value * 1e6, "us"),
        size if size < 0.999_5 => (value * 1e3, "ms"),
        _ => (value, "s"),
    };
    format!("{} {unit}", short(scaled))
}

/// A number on an axis, with as many decimals as it needs.
pub(super) fn short(value: f64) -> String {
    let text = match value.abs() {
        size if size >= 9_999.5 => return crate::humanize::grouped(value.max(0.0).round() as u64),
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_on_axes_are_short() {
        let shown = [0.0, 0.000_04, 0.002_5, 12.04, 0.5, 100.0].map(seconds);
        assert_eq!(shown, ["0", "40 us", "2.5 ms", "12 s", "500 ms", "100 s"]);
        assert_eq!([0.1, 1_500.0, 1_234_567.0].map(short), ["0.1", "1500", "1 234 567"]);
    }

    #[test]
    fn a_plot_is_one_drawing_in_known_colours_that_loads_nothing() {
        let axes = Axes {
            height: 200,
            x: (0.0, 10.0),
            y: (0.0, 1.0),
            x_labels: 5,
            y_labels: 5,
            x_name: "time",
            y_name: "share",
            x_label: &seconds,
            y_label: &short,
        };
        let budget = Budget::default();
        let markup = figure(&budget, "a < b", "says", &[(Shape::Dot, PLAIN, "one")], &axes, |canvas| {
            canvas.mark(Shape::Dot, (1.0, 0.5), PLAIN);
            canvas.mark(Shape::Cross, (2.0, 0.5), BAD);
            canvas.mark(Shape::Dot, (20.0, 0.5), GOOD);
            canvas.line(&[(0.0, 0.0), (40.0, 9.0)], OTHER, 1);
        });
        let text = markup.expect("there is room").into_string();
        assert!(text.contains("a &lt; b") && !text.contains("http"), "{text}");
        assert!(text.contains("#2B6CB0") && text.contains("#C03A2B") && text.contains("#6B46C1"), "{text}");
        assert!(!text.contains("#2F855A"), "it lies outside: {text}");
        assert_eq!(text.matches("<svg").count(), 2);
        assert!(!text.contains("style=") && !text.contains("NaN"), "{text}");
    }
}
