//! The log text: bounded, off the request path, dropped when full. Implements `core::fmt::Write`, but `write!` costs far more fuel than these.

pub struct Log<'a> {
    pub(crate) text: &'a mut [u8],
    pub(crate) used: u32,
}

impl Log<'_> {
    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.text.get_mut(self.used as usize) {
            *place = byte;
            self.used += 1;
        }
    }

    /// Writes text; characters beyond ASCII become `?`.
    pub fn text(&mut self, text: &str) {
        for letter in text.chars() {
            self.byte(if letter.is_ascii() { letter as u8 } else { b'?' });
        }
    }

    pub fn u32(&mut self, value: u32) {
        let mut divisor = 1;
        while value / divisor >= 10 {
            divisor *= 10;
        }
        while divisor > 0 {
            self.byte(b'0' + (value / divisor % 10) as u8);
            divisor /= 10;
        }
    }

    /// Writes a number with three decimals; magnitudes beyond 4,294,967,295 are cut to it.
    pub fn f32(&mut self, value: f32) {
        if value.is_nan() {
            return self.text("NaN");
        }
        if value < 0.0 {
            self.byte(b'-');
        }
        let size = f64::from(if value < 0.0 { -value } else { value }) + 0.0005;
        let bounded = if size < 4_294_967_295.0 { size } else { 4_294_967_295.0 };
        let whole = bounded as u32;
        self.u32(whole);
        self.byte(b'.');
        let thousandths = ((bounded - f64::from(whole)) * 1000.0) as u32;
        for divisor in [100, 10, 1] {
            self.byte(b'0' + (thousandths / divisor % 10) as u8);
        }
    }

    pub fn line(&mut self) {
        self.byte(b'\n');
    }
}

impl core::fmt::Write for Log<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.text(text);
        Ok(())
    }
}
