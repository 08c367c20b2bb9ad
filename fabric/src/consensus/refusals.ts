// Owns the way back from an error code, as it comes out of the log or over a connection, to the error that a caller gets.
import { MeshError } from '@infermesh/proto';
import { storeErrors } from '../store/errors.js';
import { consensusError, consensusErrors } from './errors.js';

const catalogue = { ...storeErrors, ...consensusErrors };

/** An error of the store's or consensus' catalogue. A code of neither (from a newer peer) becomes IM_CONSENSUS_INTERNAL that names it. */
export function refusalOf(code: string, message: string): MeshError {
	const known = Object.keys(catalogue).find((one) => one === code) as keyof typeof catalogue | undefined;
	if (known === undefined) return consensusError('IM_CONSENSUS_INTERNAL', `${code}: ${message}`);
	return new MeshError(catalogue, known, message);
}
