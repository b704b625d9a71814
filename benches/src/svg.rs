//! The few shapes that plots are made of.
//!
//! Owns the SVG text. Never knows what it shows.

/// A picture, from left and top.
pub struct Svg(String);

type Point = (f64, f64);

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

impl Svg {
    /// An empty one; white, for pages of any colour.
    pub fn new(width: f64, height: f64) -> Svg {
        Svg(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" \
             font-family=\"system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif\">\n\
             <rect width=\"{width}\" height=\"{height}\" rx=\"6\" fill=\"#ffffff\"/>\n"
        ))
    }

    pub fn line(&mut self, from: Point, to: Point, colour: &str, wide: f64) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.0.push_str(&format!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" \
             stroke=\"{colour}\" stroke-width=\"{wide}\"/>\n"
        ));
    }

    pub fn bar(&mut self, (x, y): Point, (wide, high): Point, colour: &str) {
        self.0.push_str(&format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{high:.1}\" \
             rx=\"2\" fill=\"{colour}\"/>\n"
        ));
    }

    pub fn dot(&mut self, (x, y): Point, colour: &str) {
        self.0.push_str(&format!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>\n"
        ));
    }

    /// Text whose start, middle or end is at the point.
    pub fn text(&mut self, (x, y): Point, anchor: &str, size: f64, colour: &str, text: &str) {
        let text = escaped(text);
        self.0.push_str(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" \
             fill=\"{colour}\">{text}</text>\n"
        ));
    }

    pub fn bold(&mut self, (x, y): Point, size: f64, text: &str) {
        let text = escaped(text);
        self.0.push_str(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" font-weight=\"600\" \
             fill=\"#111827\">{text}</text>\n"
        ));
    }

    pub fn finish(self) -> String {
        self.0 + "</svg>\n"
    }
}
