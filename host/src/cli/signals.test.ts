import { EventEmitter } from 'node:events';
import test from 'ava';
import { stopOnSignals } from './signals.js';

test('one Ctrl-C that arrives several times, from the terminal and from npm, lets streams end; a second press does not', (t) => {
	let nowMs = 1000;
	let again = 0;
	const source = new EventEmitter();
	const stop = stopOnSignals(source, { nowMs: () => nowMs }, () => again++);
	t.false(stop.aborted);
	source.emit('SIGINT');
	t.true(stop.aborted);
	nowMs += 1;
	source.emit('SIGINT');
	nowMs += 50;
	source.emit('SIGINT');
	t.is(again, 0);
	nowMs += 600;
	source.emit('SIGTERM');
	t.is(again, 1);
});
