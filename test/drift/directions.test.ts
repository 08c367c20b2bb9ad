// The rooms of the fabric import one another as docs/fabric.md says: no import that its table does not allow, and nothing allowed that is not used.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';

const root = path.resolve(import.meta.dirname, '../../..');
const source = path.join(root, 'fabric/src');

interface Direction {
	readonly from: string;
	readonly to: string;
}

/** The rows of the table that begins with `| from`. */
function allowedDirections(): readonly Direction[] {
	const [, table = ''] = readFileSync(path.join(root, 'docs/fabric.md'), 'utf8').split(/^\| from .*\n\| -.*\n/mu);
	const [rows = ''] = table.split('\n\n');
	return rows.split('\n').flatMap((row) => {
		const [from, ...to] = [...row.matchAll(/`(?<name>[^`]+)`/gu)].map(({ groups }) => groups?.['name'] ?? '');
		return from === undefined ? [] : to.map((one) => ({ from, to: one }));
	});
}

const isTest = (file: string): boolean => /\.test\.ts$|test-support\.ts$|(?:^|\/)testing(?:\/|\.ts$)/u.test(file);
const roomOf = (file: string): string => file.split('/')[0] ?? '';
const isWithin = (file: string, place: string): boolean => file === place || file.startsWith(`${place}/`);

/** Imports from one room of another. */
function importsBetweenRooms(): readonly Direction[] {
	const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter(
		(file) => file.endsWith('.ts') && file.includes('/') && !isTest(file),
	);
	return files.flatMap((from) => {
		const text = readFileSync(path.join(source, from), 'utf8');
		return [...text.matchAll(/(?:from|import\() ?'(?<target>\.[^']+)\.js'/gu)]
			.map(({ groups }) => ({ from, to: `${path.join(path.dirname(from), groups?.['target'] ?? '')}.ts` }))
			.filter(({ to }) => roomOf(to) !== roomOf(from));
	});
}

test('rooms of the fabric import only what docs/fabric.md allows them', (t) => {
	const allowed = allowedDirections();
	const imports = importsBetweenRooms();
	t.true(imports.length > 100, `${imports.length} imports found`);
	const covers = (direction: Direction, { from, to }: Direction): boolean =>
		isWithin(from, direction.from) && isWithin(to, direction.to);
	const forbidden = imports.filter((one) => !allowed.some((direction) => covers(direction, one)));
	t.deepEqual(forbidden, [], 'imports that the table does not allow');
	const unused = allowed.filter((direction) => !imports.some((one) => covers(direction, one)));
	t.deepEqual(unused, [], 'directions that nothing uses');
});
