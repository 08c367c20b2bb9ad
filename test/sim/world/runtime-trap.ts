// Owns the trap that keeps real time and real randomness out of a simulation: while it is armed, the ways to them throw, and the throw names the
// caller by its stack. Installed once per process, it costs a flag test when it is not armed.
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import process from 'node:process';
import timers from 'node:timers';

let armed = false;
let installed = false;
/** What was called in spite of the trap, also when the caller swallowed the throw. */
let caught: Error | undefined;

function spring(name: string): never {
	caught = new Error(`${name} was called inside a simulation: take the Clock or Random that was given`);
	throw caught;
}

type Callable = (...args: never[]) => unknown;

function trap<K extends string>(owner: Record<K, unknown>, name: K, label: string): void {
	const original = owner[name] as Callable;
	const replacement = function (this: unknown, ...args: never[]): unknown {
		if (armed) spring(label);
		return original.apply(this, args);
	};
	// process.hrtime.bigint and the like hang on the function itself.
	Object.assign(replacement, original);
	Object.defineProperty(owner, name, { value: replacement, configurable: true, writable: true });
}

function trapDateConstructor(): void {
	const proxy = new Proxy(Date, {
		construct(target, args, newTarget): object {
			if (armed && args.length === 0) spring('new Date()');
			return Reflect.construct(target, args, newTarget) as object;
		},
		apply(): string {
			if (armed) spring('Date()');
			return new Date().toString();
		},
	});
	Object.defineProperty(globalThis, 'Date', { value: proxy, configurable: true, writable: true });
}

function install(): void {
	installed = true;
	trap(Date, 'now', 'Date.now');
	trapDateConstructor();
	trap(Math, 'random', 'Math.random');
	const names = ['setTimeout', 'setInterval', 'setImmediate'] as const;
	for (const name of names) {
		trap(globalThis, name, name);
		trap(timers, name, `timers.${name}`);
	}
	trap(performance, 'now', 'performance.now');
	trap(process, 'hrtime', 'process.hrtime');
	trap(process.hrtime, 'bigint', 'process.hrtime.bigint');
	for (const name of ['randomBytes', 'randomUUID', 'randomInt', 'randomFillSync'] as const)
		trap(crypto, name, `crypto.${name}`);
	trap(crypto.webcrypto, 'getRandomValues', 'crypto.getRandomValues');
	trap(crypto.webcrypto, 'randomUUID', 'crypto.randomUUID');
	syncBuiltinESMExports();
}

export function armTrap(): void {
	if (!installed) install();
	armed = true;
	caught = undefined;
}

export function disarmTrap(): void {
	armed = false;
}

/** The first forbidden call since the trap was armed. */
export function takeCaught(): Error | undefined {
	const error = caught;
	caught = undefined;
	return error;
}
