// Owns the product's version: the one in this package's package.json.
import { readFileSync } from 'node:fs';

const packageFile = new URL('../../../package.json', import.meta.url);

export const meshVersion: string = (JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string }).version;
