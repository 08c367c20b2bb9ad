// How figures of experiments read on the command line.
import test from 'ava';
import { showDropped } from './experiment-text.js';

test('dropped pairs come with the reasons of their blocks', (t) => {
	const none = { gap: 0, few_requests: 0, stopped: 0 };
	t.is(showDropped({ pairs: 0, blocks: none }), '0 dropped');
	t.is(
		showDropped({ pairs: 19, blocks: { ...none, few_requests: 38 } }),
		'19 dropped (38 blocks with too few requests)',
	);
	t.is(
		showDropped({ pairs: 2, blocks: { gap: 1, few_requests: 2, stopped: 0 } }),
		'2 dropped (1 block not counted all through, 2 blocks with too few requests)',
	);
});
