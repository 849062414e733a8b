%% SPDX-License-Identifier: MIT
%% A pool of ports. Each call runs freeport get; the port is reserved until this node is gone.
-module(freeport).
-behaviour(gen_server).

-export([start_link/2, get_port/1, get_port/2, get_port/3]).
-export([init/1, handle_call/3, handle_cast/2]).

start_link(Name, Ranges) ->
    gen_server:start_link({local, Name}, ?MODULE, {Name, Ranges}, []).

get_port(Name) ->
    get_port(Name, tcp).

get_port(Name, Protocol) ->
    get_port(Name, Protocol, 5000).

%% {ok, Port}, or {error, no_range | no_port | timeout | {exit, Code}}
get_port(Name, Protocol, Timeout) ->
    gen_server:call(Name, {get_port, Protocol, Timeout}, infinity).

init(State) ->
    {ok, State}.

handle_call({get_port, Protocol, Timeout}, _From, {Name, Ranges} = State) ->
    {reply, get(Name, Protocol, proplists:get_value(Protocol, Ranges), Timeout), State}.

handle_cast(_, State) ->
    {noreply, State}.

get(_Name, _Protocol, undefined, _Timeout) ->
    {error, no_range};
get(Name, Protocol, {From, To}, Timeout) ->
    Arguments = ["get", "--name", atom_to_list(Name),
                 io_lib:format("--~s=~b-~b", [Protocol, From, To]),
                 io_lib:format("--timeout=~b", [Timeout]), atom_to_list(Protocol)],
    answer(open_port({spawn_executable, os:find_executable("freeport")},
                     [{args, [unicode:characters_to_list(Argument) || Argument <- Arguments]},
                      {line, 80}, exit_status]), none).

answer(Command, Line) ->
    receive
        {Command, {data, {eol, Next}}} -> answer(Command, Next);
        {Command, {exit_status, 0}} -> {ok, list_to_integer(Line)};
        {Command, {exit_status, 3}} -> {error, no_port};
        {Command, {exit_status, 4}} -> {error, timeout};
        {Command, {exit_status, Code}} -> {error, {exit, Code}}
    end.
