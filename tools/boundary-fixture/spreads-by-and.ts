export const data = (planId?: string) => ({ ...(planId !== undefined && { planId }) });
