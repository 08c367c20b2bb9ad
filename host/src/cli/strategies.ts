// Owns `infermesh strategies`: the list of what ships with the mesh, and what there is to know of one of them.
import type { Command } from 'commander';
import { type ShippedPage, type ShippedStrategy, shippedLibrary, shippedPage } from '../project/library.js';
import { act, type Cli, withExample, withJson } from './command.js';
import type { CliContext } from './context.js';
import { type Column, type OutputOptions, print, printItems, renderTable } from './output.js';

const listed: readonly Column<ShippedStrategy>[] = [
	{ title: 'STRATEGY', value: (item) => item.name },
	{ title: 'VERSION', value: (item) => item.version },
	{ title: 'SOURCE', value: (item) => item.origin || '-' },
	{ title: 'NEEDS', value: (item) => item.needs.join(', ') || '-' },
];

type Setting = ShippedPage['config'][number];

function showRange({ type, min, max }: Setting): string {
	if (type === 'bool') return 'true, false';
	return min === undefined && max === undefined ? '-' : `${min ?? '…'} … ${max ?? '…'}`;
}

const settings: readonly Column<Setting>[] = [
	{ title: 'SETTING', value: (entry) => entry.name },
	{ title: 'DEFAULT', value: (entry) => `${entry.default}${entry.unit === '' ? '' : ` ${entry.unit}`}` },
	{ title: 'RANGE', value: showRange },
	{ title: 'MEANING', value: (entry) => entry.description },
];

const read: readonly Column<ShippedPage['columns'][number]>[] = [
	{ title: 'COLUMN', value: (column) => column.name },
	{ title: 'UNIT', value: (column) => column.unit || '-' },
	{ title: 'FROM', value: (column) => column.source },
	{ title: 'MEANING', value: (column) => column.meaning },
];

function renderPage(page: ShippedPage): string {
	const parts = [
		`${page.name}@${page.version}  ${page.kind}; source: ${page.origin || 'unknown'}\n${page.description}\n`,
	];
	if (page.formula !== '') parts.push(`${page.formula.replaceAll(/^(?=.)/gm, '  ')}\n`);
	if (page.config.length > 0) parts.push(renderTable(page.config, settings));
	if (page.columns.length > 0) parts.push(renderTable(page.columns, read));
	const facts = [
		`needs    ${page.needs.join(', ') || 'nothing'}`,
		`hooks    ${page.hooks.join(', ')}${page.stateBytes > 0 ? `; ${page.stateBytes} bytes of state` : ''}`,
		`factors  ${page.factors.join(', ') || 'none'}`,
		`more     ${page.readme ?? 'its README is not installed'}`,
	];
	return [...parts, `${facts.join('\n')}\n`].join('\n');
}

function run(context: CliContext, name: string | undefined, options: OutputOptions): void {
	if (name === undefined) {
		printItems(context, options, shippedLibrary(), listed, 'this installation ships no strategies');
		return;
	}
	const page = shippedPage(name);
	print(context, options, page, () => renderPage(page));
}

export function addStrategiesCommand(program: Command, cli: Cli): void {
	withExample(
		withJson(
			program
				.command('strategies')
				.description('strategies that ship with the mesh; with a name, one explained: formula, settings, columns')
				.argument('[name]', 'a shipped strategy'),
		),
		'infermesh strategies llmd_default',
	).action(act(cli, async (context, name: string | undefined, options: OutputOptions) => run(context, name, options)));
}
