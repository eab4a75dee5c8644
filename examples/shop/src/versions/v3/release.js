export const release = { label: 'v3', headline: 'Autumn catalogue, cheaper shipping (script v3)' };
