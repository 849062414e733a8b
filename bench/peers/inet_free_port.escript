#!/usr/bin/env escript
%% SPDX-License-Identifier: MIT
%% As inet_free_port does it: the next port, from the last one on, that gen_tcp:listen takes. A number on standard input
%% is that many calls; the answer is the nanoseconds that one took.
-mode(compile).

main([From, To]) ->
    io:format("ready~n"),
    loop(list_to_integer(From), list_to_integer(To), list_to_integer(From)).

loop(From, To, Last) ->
    case io:get_line("") of
        eof -> ok;
        Line ->
            Count = list_to_integer(string:trim(Line)),
            Began = erlang:monotonic_time(nanosecond),
            New = calls(Count, From, To, Last),
            io:format("~p~n", [(erlang:monotonic_time(nanosecond) - Began) / Count]),
            loop(From, To, New)
    end.

calls(0, _, _, Last) -> Last;
calls(Count, From, To, Last) -> calls(Count - 1, From, To, next(From, To, Last)).

next(From, To, Last) ->
    Port = if Last >= To -> From; true -> Last + 1 end,
    case gen_tcp:listen(Port, []) of
        {ok, Socket} -> gen_tcp:close(Socket), Port;
        {error, _} -> next(From, To, Port)
    end.
