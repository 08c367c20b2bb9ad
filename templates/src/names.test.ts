// What may not be chosen as a name.

import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { pluginDirs } from '@infermesh/sdk';
import test from 'ava';
import { reservedNames } from './names.js';

test('the names of all strategies that ship with the mesh are reserved', (t) => {
	const shipped = pluginDirs(fileURLToPath(new URL('../../../', import.meta.url))).map((dir) => path.basename(dir));
	t.deepEqual([...reservedNames].sort(), shipped.sort());
});
