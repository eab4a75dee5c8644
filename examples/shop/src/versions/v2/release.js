export const release = { label: 'v2', headline: 'Autumn catalogue, new prices, new look (script v2)' };
