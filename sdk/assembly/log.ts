// Owns the log text: bounded, off the request path, dropped when full. Texts are literals; numbers are written in decimal.
import { header, logAt, output } from './frame';

function putByte(byte: u32): void {
	const used = output().log_bytes;
	if (used >= header().log_bytes) return;
	store<u8>(logAt + used, byte);
	output().log_bytes = used + 1;
}

/** Writes a literal; characters beyond ASCII become `?`. */
export function logText(text: string): void {
	const length = text.length;
	for (let index = 0; index < length; index++) {
		const code = load<u16>(changetype<usize>(text) + ((<usize>index) << 1));
		putByte(code < 128 ? code : 63);
	}
}

export function logU32(value: u32): void {
	let divisor: u32 = 1;
	while (value / divisor >= 10) divisor *= 10;
	for (; divisor > 0; divisor /= 10) putByte(48 + ((value / divisor) % 10));
}

/** Writes a number with three decimals; magnitudes beyond 4,294,967,295 are cut to it. */
export function logF32(value: f32): void {
	if (value != value) return logText('NaN');
	if (value < 0) putByte(45);
	const bounded = min<f64>(<f64>abs(value) + 0.0005, 4294967295.0);
	const whole = <u32>bounded;
	logU32(whole);
	putByte(46);
	const thousandths = <u32>((bounded - <f64>whole) * 1000.0);
	putByte(48 + thousandths / 100);
	putByte(48 + ((thousandths / 10) % 10));
	putByte(48 + (thousandths % 10));
}

export function logLine(): void {
	putByte(10);
}
