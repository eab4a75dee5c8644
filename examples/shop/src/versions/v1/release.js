export const release = { label: 'v1', headline: 'Spring catalogue (script v1)' };
