/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLI_COMMANDS_H
#define HVO_CLI_COMMANDS_H

/*
 * The commands, each with its options in its own folder. They get what stands behind the
 * command's name, and return an exit status (common/cli.h).
 */
int cli_bench(char **args);
int cli_client(char **args);
int cli_plan(char **args);
int cli_pool(char **args);
int cli_report(char **args);
int cli_run(char **args);
int cli_serve(char **args);
int cli_shell(char **args);
int cli_status(char **args);
int cli_top(char **args);
int cli_tour(char **args);

#endif
