export const data = (planId?: string) => ({ planId });
