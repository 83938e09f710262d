/* What runs before main on the board MPS2: memory, floating point, standard input and output. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern uint32_t stack_top, data_start, data_end, data_load, bss_start, bss_end;
extern void initialise_monitor_handles(void);
extern int main(void);

void reset_handler(void);
static void stopped(void);

typedef void (*handler)(void);

__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    handler handlers[6];
} vectors = {
    &stack_top, {reset_handler, stopped, stopped, stopped, stopped, stopped},
};

void reset_handler(void)
{
    /* Both halves of the floating-point unit, before the compiler uses it. */
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20;
    __asm__ volatile("dsb\n isb");
    memcpy(&data_start, &data_load, (size_t)((char *)&data_end - (char *)&data_start));
    memset(&bss_start, 0, (size_t)((char *)&bss_end - (char *)&bss_start));
    initialise_monitor_handles();
    exit(main());
}

static void stopped(void)
{
    abort();
}

void _init(void);
void _fini(void);
void _init(void) {}
void _fini(void) {}
