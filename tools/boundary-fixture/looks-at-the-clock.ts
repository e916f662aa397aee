export const age = (since: number) => Date.now() - since;
