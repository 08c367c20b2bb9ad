// Owns the public names of the project generator.
export { askMissing, type Terminal } from './ask.js';
export { defaultTemplate, type TemplateInfo, templates } from './catalogue.js';
export { type CreateIo, renderGenerated, runCreate } from './create.js';
export { templateErrors } from './errors.js';
export { type GenerateOptions, type GenerateResult, generate } from './generate.js';
export { proposeName, reservedNames } from './names.js';
export { readStamp, type SdkStamp, STAMP_FILE } from './sdk-copy.js';
