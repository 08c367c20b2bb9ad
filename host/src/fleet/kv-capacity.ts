// Owns reading how many tokens the KV cache of a row has room for, as its engine reports it: blocks times tokens of a block.
import { COLUMN_KV_BLOCK_TOKENS, COLUMN_KV_TOTAL_BLOCKS } from '@infermesh/sdk';
import type { FleetTableReader } from './table.js';

const words = new Uint32Array(2);
const floats = new Float32Array(words.buffer);

/** 0 while the engine has not said. A read torn by a publish is 0 too: the caller then takes its default, once. */
export function kvCacheTokens(table: FleetTableReader, row: number): number {
	const epoch = table.epoch();
	const cells = table.cells(epoch);
	words[0] = cells[COLUMN_KV_TOTAL_BLOCKS * table.rowsMax + row] as number;
	words[1] = cells[COLUMN_KV_BLOCK_TOKENS * table.rowsMax + row] as number;
	if (table.epochAfterReads() !== epoch) return 0;
	const tokens = (floats[0] as number) * (floats[1] as number);
	return tokens > 0 && tokens < 2 ** 40 ? tokens : 0;
}
